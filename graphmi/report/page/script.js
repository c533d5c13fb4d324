"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const root = document.documentElement;

  // --- light and dark

  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const redrawn = []; // what has to be drawn again when colors change
  const theme = byId("theme");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  const showTheme = () => {
    theme.textContent = isDark() ? "Light colors" : "Dark colors";
    redrawn.forEach((draw) => draw());
  };
  theme.hidden = false;
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    showTheme();
  });
  dark.addEventListener("change", showTheme);
  showTheme();

  // --- data, and small helpers

  if (!byId("data")) return;
  const data = JSON.parse(byId("data").textContent);
  document.querySelectorAll(".needs-script").forEach((part) => (part.hidden = false));

  const COLORS = 7;
  const SHAPES = data.shapes;
  const PATHS = SHAPES.map((shape) => new Path2D(shape));
  const shapeOf = (n) => (n + Math.floor(n / SHAPES.length)) % SHAPES.length;
  const cssColor = (n) => (n < 0 || n % COLORS === 6 ? "currentColor" : `var(--series-${n % COLORS})`);
  const number = (n) => n.toLocaleString("en");
  const title = (item) => data.items[item][0];
  const categoriesOf = (item) => data.items[item][1];

  function el(tag, properties, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(properties || {})) {
      if (name === "class") element.className = value;
      else if (name in element) element[name] = value;
      else element.setAttribute(name, value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  }

  function mark(n) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    svg.setAttribute("viewBox", "-1.3 -1.3 2.6 2.6");
    svg.setAttribute("class", "mark");
    svg.setAttribute("aria-hidden", "true");
    path.setAttribute("d", SHAPES[n < 0 ? 0 : shapeOf(n)]);
    path.style.fill = cssColor(n);
    if (n < 0) path.setAttribute("opacity", ".35");
    svg.append(path);
    return svg;
  }

  const options = (select, chosen) => {
    data.runs.forEach((run, n) => select.append(el("option", { value: String(n), selected: n === chosen }, run.name)));
  };
  const most = Math.max(...data.runs.map((run) => run.interests));
  const firstRun = data.runs.findIndex((run) => run.interests === most);

  itemMap();
  explorer();

  // --- the map of the items

  function itemMap() {
    const canvas = byId("map"), box = byId("map-box"), tip = byId("map-title"), context = canvas.getContext("2d");
    const select = byId("map-run"), byCategory = byId("by-category"), byInterest = byId("by-interest");
    const state = { run: firstRun, by: most > 1 ? "interest" : "category", only: null, at: -1, places: [] };
    options(select, firstRun);

    const map = () => data.runs[state.run].map;
    const labels = () =>
      state.by === "category"
        ? data.coloured.map((category) => data.categories[category])
        : Array.from({ length: data.runs[state.run].interests }, (_, n) => `Interest ${n + 1}`);
    const labelOf = (n) => (state.by === "category" ? data.shown[map().items[n]] : map().interest[n]);
    const isShown = (n) => {
      if (state.only === null) return true;
      if (state.by === "interest" || state.only < 0) return labelOf(n) === state.only;
      return categoriesOf(map().items[n]).includes(data.coloured[state.only]);
    };

    function setUp() {
      const there = map() !== null, can = { category: data.coloured.length > 0, interest: there && map().interest !== null };
      if (!can[state.by]) state.by = can.category ? "category" : can.interest ? "interest" : "none";
      byCategory.disabled = !can.category;
      byInterest.disabled = !can.interest;
      byCategory.setAttribute("aria-pressed", String(state.by === "category"));
      byInterest.setAttribute("aria-pressed", String(state.by === "interest"));
      byId("map-nothing").hidden = there;
      box.hidden = byId("legend").hidden = byId("map-note").hidden = !there;
      state.only = null;
      state.at = -1;
      tip.hidden = true;
      if (there) {
        const count = map().items.length, all = count === data.numItems;
        const what = all ? `All ${number(count)} items` : `The ${number(count)} items with the most users, of ${number(data.numItems)}`;
        const how = { category: " An item of several categories has the color of the rarest of them.",
          interest: " An item has the color of the interest that scores it best for most of its users.", none: "" };
        byId("map-note").textContent = `${what}; places: ${map().method}.${how[state.by]}`;
        legend();
        draw();
      }
    }

    function legend() {
      const names = state.by === "none" ? [] : labels();
      const counts = new Map();
      map().items.forEach((_, n) => state.by !== "none" && counts.set(labelOf(n), (counts.get(labelOf(n)) || 0) + 1));
      const entries = names.map((name, n) => [n, name]);
      if (counts.get(-1)) entries.push([-1, state.by === "category" ? "Other or none" : "No user asked"]);
      byId("legend").replaceChildren(...entries.map(([n, name]) => {
        const button = el("button", { type: "button", "aria-pressed": "false" }, mark(n), name);
        button.addEventListener("click", () => {
          state.only = state.only === n ? null : n;
          for (const other of byId("legend").querySelectorAll("button")) other.setAttribute("aria-pressed", "false");
          button.setAttribute("aria-pressed", String(state.only === n));
          draw();
        });
        return el("li", {}, button);
      }));
    }

    function draw() {
      if (!map() || box.hidden || !canvas.clientWidth) return;
      const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight, edge = 14;
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      context.clearRect(0, 0, width, height);
      const style = getComputedStyle(root), text = style.getPropertyValue("--text");
      const colors = Array.from({ length: COLORS }, (_, n) => style.getPropertyValue(`--series-${n}`) || text);
      const { x, y } = map(), highX = Math.max(...x), highY = Math.max(...y, 1);
      const scale = Math.min((width - 2 * edge) / highX, (height - 2 * edge) / highY);
      const left = (width - highX * scale) / 2, low = height - (height - highY * scale) / 2;
      state.places = x.map((_, n) => [left + x[n] * scale, low - y[n] * scale]);
      const size = x.length > 2500 ? 2.2 : x.length > 800 ? 3 : 4;
      // The least popular first, so that the others lie above them.
      for (const pass of [false, true]) {
        for (let n = x.length - 1; n >= 0; n--) {
          if (isShown(n) !== pass) continue;
          const label = state.by === "none" ? 0 : labelOf(n);
          const own = state.only !== null && state.only >= 0 ? state.only : label;
          context.globalAlpha = !pass ? 0.08 : own < 0 ? 0.3 : 0.8;
          point(n, own, own < 0 ? size * 0.6 : size, own < 0 ? text : colors[own % COLORS]);
        }
      }
      context.globalAlpha = 1;
      if (state.at >= 0) {
        const [px, py] = state.places[state.at];
        context.strokeStyle = text;
        context.lineWidth = 2;
        context.beginPath();
        context.arc(px, py, 8, 0, 2 * Math.PI);
        context.stroke();
      }
    }

    function point(n, label, size, fill) {
      context.save();
      context.translate(...state.places[n]);
      context.scale(size, size);
      context.fillStyle = fill;
      context.fill(PATHS[label < 0 ? 0 : shapeOf(label)]);
      context.restore();
    }

    function goTo(n, aloud) {
      state.at = n;
      tip.hidden = n < 0;
      draw();
      if (n < 0) return;
      const item = map().items[n], [px, py] = state.places[n];
      const more = categoriesOf(item).map((category) => data.categories[category]);
      if (map().interest && map().interest[n] >= 0) more.push(`interest ${map().interest[n] + 1}`);
      tip.replaceChildren(title(item), el("small", {}, more.join(", ")));
      tip.style.left = `${Math.max(4, Math.min(px + 12, box.clientWidth - tip.offsetWidth - 4))}px`;
      tip.style.top = `${py + 12 + tip.offsetHeight > box.clientHeight ? Math.max(4, py - tip.offsetHeight - 12) : py + 12}px`;
      if (aloud) byId("map-said").textContent = `${title(item)}. ${more.join(", ")}`;
    }

    function near(event) {
      const at = canvas.getBoundingClientRect(), px = event.clientX - at.left, py = event.clientY - at.top;
      let found = -1, least = event.pointerType === "mouse" ? 144 : 625;
      state.places.forEach(([x, y], n) => {
        const distance = (x - px) ** 2 + (y - py) ** 2;
        if (distance < least && isShown(n)) [found, least] = [n, distance];
      });
      if (found !== state.at) goTo(found, false);
    }

    const DIRECTIONS = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

    function walk(event) {
      if (event.key === "Escape") goTo(-1, false);
      const direction = DIRECTIONS[event.key];
      if (!direction || !state.places.length) return;
      event.preventDefault();
      if (state.at < 0) return goTo(Math.max(0, state.places.findIndex((_, n) => isShown(n))), true);
      const [fromX, fromY] = state.places[state.at];
      let found = -1, least = Infinity;
      state.places.forEach(([x, y], n) => {
        const along = (x - fromX) * direction[0] + (y - fromY) * direction[1];
        const across = Math.abs((x - fromX) * direction[1]) + Math.abs((y - fromY) * direction[0]);
        // Within 45 degrees of the arrow, so that every item can be reached.
        if (n !== state.at && along > 0 && across <= along && along + 2 * across < least && isShown(n)) {
          [found, least] = [n, along + 2 * across];
        }
      });
      if (found >= 0) goTo(found, true);
    }

    canvas.addEventListener("pointermove", near);
    canvas.addEventListener("pointerdown", near);
    canvas.addEventListener("pointerleave", () => document.activeElement !== canvas && goTo(-1, false));
    canvas.addEventListener("keydown", walk);
    canvas.addEventListener("blur", () => goTo(-1, false));
    select.addEventListener("change", () => { state.run = Number(select.value); setUp(); });
    byCategory.addEventListener("click", () => { state.by = "category"; setUp(); });
    byInterest.addEventListener("click", () => { state.by = "interest"; setUp(); });
    new ResizeObserver(draw).observe(box);
    redrawn.push(draw);
    setUp();
  }

  // --- one user

  function explorer() {
    const state = { run: firstRun, user: 0 };
    const input = byId("user"), index = new Map(data.users.map((user, n) => [user.id, n]));
    options(byId("run"), firstRun);
    byId("ids").append(...data.users.map((user) => el("option", { value: user.id })));
    byId("picks").hidden = data.groups < 2;

    // The users of a group, the most ordinary in size first.
    const members = (group) => {
      const found = data.users.map((_, n) => n).filter((n) => data.users[n].group === group);
      const sizes = found.map((n) => data.users[n].size).sort((a, b) => a - b), middle = sizes[sizes.length >> 1];
      return found.sort((a, b) => Math.abs(data.users[a].size - middle) - Math.abs(data.users[b].size - middle) || a - b);
    };
    const picks = {
      narrow: members(0), typical: members((data.groups - 1) >> 1), broad: members(data.groups - 1),
    };
    const turn = { narrow: -1, typical: -1, broad: -1 };
    const taste = (group) => {
      if (group < 0 || data.groups < 2) return null;
      const word = group === 0 ? "narrow taste" : group === data.groups - 1 ? "broad taste" : "taste";
      return `${word} (diversity group ${group + 1} of ${data.groups})`;
    };

    function pick(way) {
      const count = data.users.length;
      if (way === "next") state.user = (state.user + 1) % count;
      else if (way === "previous") state.user = (state.user + count - 1) % count;
      else if (picks[way] && picks[way].length) state.user = picks[way][(turn[way] = (turn[way] + 1) % picks[way].length)];
      show();
    }

    function search(event) {
      event.preventDefault();
      const found = index.get(input.value.trim());
      if (found === undefined) {
        byId("status").textContent = `No user “${input.value.trim()}” is among the ${data.users.length} on this page; ` +
          "graphmi explain RUN --user ID shows anyone in the terminal.";
        return;
      }
      state.user = found;
      show();
    }

    function show() {
      const user = data.users[state.user], run = data.runs[state.run], told = run.told[state.user];
      const several = run.interests > 1, hits = told.list.filter((entry) => entry[2]).length;
      input.value = user.id;
      const facts = [taste(user.group), `${number(user.size)} known ${user.size === 1 ? "item" : "items"}`, `${hits} of ${told.list.length} recommendations found in the test`];
      byId("status").textContent = `User ${user.id}: ${facts.filter(Boolean).join(", ")}.`;
      byId("told").replaceChildren(el("div", { class: "told" },
        el("div", {}, el("h3", {}, "Recommendations"), list(told, several),
          ...(data.categories.length ? [el("h3", {}, "History by category"), bars(user, told)] : [])),
        el("div", {}, el("h3", {}, several ? "Interests" : "The one interest of the user"), cards(told, user, several),
          el("h3", {}, "Chosen in the test"), targets(user, told)),
        el("div", { class: "wide" }, el("h3", {}, "History in time order"), history(user)),
      ));
    }

    const because = (causes) => causes.map(([item, share]) => `${title(item)} (${share || "<1"}\u00a0%)`).join(", ");
    const badge = (n) => el("span", {}, mark(n), ` Interest ${n + 1}`);

    function list(told, several) {
      return el("ol", { class: "list" }, ...told.list.map(([item, interest, hit, causes], rank) =>
        el("li", { class: hit ? "hit" : "" },
          el("span", { class: "rank" }, String(rank + 1)),
          el("span", { class: "title" }, title(item)),
          el("span", { class: "tags" }, hit ? el("span", { class: "found" }, "✓ found in the test") : null, several ? badge(interest) : null),
          causes.length ? el("span", { class: "because" }, `because of ${because(causes)}`) : null)));
    }

    function cards(told, user, several) {
      const known = new Set([...user.history, ...told.known]), hits = new Map();
      told.list.forEach(([, interest]) => hits.set(interest, (hits.get(interest) || 0) + 1));
      return el("ul", { class: "cards" }, ...told.interests.map(([active, nearest, causes], n) =>
        el("li", { class: active ? "card" : "card inactive" },
          several ? el("h4", {}, mark(n), ` Interest ${n + 1}`,
            el("small", {}, active ? `${hits.get(n) || 0} of ${told.list.length} recommendations` : "not in use for this user")) : null,
          el("p", {}, "Nearest items"),
          el("ul", { class: "plain" }, ...nearest.map((item) => el("li", {}, title(item), known.has(item) ? el("small", {}, "known") : null))),
          causes.length ? el("p", {}, "Comes from") : null,
          causes.length ? el("ul", { class: "plain" }, ...causes.map(([item, share]) =>
            el("li", {}, title(item), el("small", {}, `${share || "<1"}\u00a0%`)))) : null)));
    }

    function bars(user, told) {
      const listed = new Map();
      told.list.forEach(([item]) => categoriesOf(item).forEach((c) => listed.set(c, (listed.get(c) || 0) + 1)));
      const sum = (counts) => counts.reduce((total, count) => total + count, 0) || 1;
      const all = sum(user.categories.map(([, count]) => count)), allListed = sum([...listed.values()]);
      const known = new Set(user.categories.map(([c]) => c));
      const rows = [...user.categories.map(([c, count]) => [c, count / all]), ...[...listed.keys()].filter((c) => !known.has(c)).map((c) => [c, 0])];
      const high = Math.max(...rows.map(([c, share]) => Math.max(share, (listed.get(c) || 0) / allListed)), 1e-9);
      const bar = (share, name) => [el("div", { class: name, style: `width: ${((100 * share) / high).toFixed(1)}%`, "aria-hidden": "true" }),
        el("span", { class: "value" }, `${Math.round(100 * share)}\u00a0%`)];
      const shown = rows.filter(([c, share], n) => n < 10 || listed.has(c));
      const rest = rows.length - shown.length;
      return el("div", {},
        el("p", { class: "key" }, el("span", {}, "known items"), el("span", { class: "listed" }, "recommendations")),
        el("dl", { class: "bars" }, ...shown.flatMap(([c, share]) => [el("dt", {}, data.categories[c]),
          el("dd", {}, ...bar(share, "bar"), ...bar((listed.get(c) || 0) / allListed, "bar listed"))])),
        rest > 0 ? el("small", {}, `and ${rest} smaller ${rest === 1 ? "category" : "categories"}`) : null);
    }

    function targets(user, told) {
      if (!user.targets.length) return el("p", { class: "nothing" }, "Nothing.");
      const found = new Set(told.list.filter((entry) => entry[2]).map(([item]) => item));
      return el("ul", { class: "plain" }, ...user.targets.map((item) => el("li", {}, title(item),
        found.has(item) ? el("span", { class: "found" }, " ✓ in the list") : null)));
    }

    function history(user) {
      if (!user.history.length) return el("p", { class: "nothing" }, "No items before the test.");
      const kept = user.history.length, latest = kept < user.size ? `the latest ${kept} of ${user.size} items` : `${kept} items`;
      return el("details", { open: kept <= 30 }, el("summary", {}, `${latest[0].toUpperCase()}${latest.slice(1)}, the latest first`),
        el("ol", { class: "history" }, ...[...user.history].reverse().map((item) => el("li", {}, title(item)))));
    }

    byId("choose").addEventListener("submit", search);
    byId("run").addEventListener("change", (event) => { state.run = Number(event.target.value); show(); });
    document.querySelectorAll("[data-pick]").forEach((button) => button.addEventListener("click", () => pick(button.dataset.pick)));
    pick(data.groups > 1 ? "broad" : "first");
  }
})();
