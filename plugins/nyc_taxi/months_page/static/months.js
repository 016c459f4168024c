// The page Months: draws what /months/api answers, and starts runs through Airflow's own API, which checks permissions.

const API = new URL("../api/v2/", document.baseURI);
const POLL_MS = { busy: 2000, idle: 30000 };
const HEATS = 4;
const number = new Intl.NumberFormat("en-US");
const state = { overview: null, timer: 0, opening: 0, opened: "", month: "", focus: {} };

/** Make an element: el("td", {class: "x", onclick: f}, child, "text"). Text is never read as HTML. */
function el(tag, attributes = {}, ...children) {
  const made = tag === "svg" || tag === "rect" || tag === "text" || tag === "title"
    ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

/** Send a request; an answer that is no success is an Error with the server's own words. */
async function ask(url, options = {}) {
  const answer = await fetch(url, { credentials: "same-origin", ...options });
  const content = await answer.json().catch(() => ({}));
  if (answer.ok) return content;
  const detail = content.detail;
  const words = Array.isArray(detail) ? detail.map((one) => one.msg).join("; ") : detail;
  throw new Error(answer.status === 401 ? "You are not logged in any more: reload the page." : words || `HTTP ${answer.status}`);
}

const send = (method, path, body) => ask(new URL(path, API), {
  method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
});

/** Say what somebody's own click has led to; it stays until the next click. */
function tell(text, isError = false) {
  for (const place of document.querySelectorAll(".told")) {
    place.textContent = text;
    place.classList.toggle("error", isError);
  }
}

function notify(text, isError = false) {
  const notice = document.getElementById("notice");
  notice.textContent = text;
  notice.classList.toggle("error", isError);
}

/** Run something that a button starts; the button is off meanwhile, so that a second click starts nothing. */
async function once(button, action) {
  button.disabled = true;
  try {
    await action();
  } catch (error) {
    tell(error.message, true);
  } finally {
    button.disabled = false;
  }
}

// --- The overview -------------------------------------------------------------------------------------------------

async function refresh({ again = false } = {}) {
  clearTimeout(state.timer);
  let busy = false;
  try {
    state.overview = await ask(again ? "api/overview?again=true" : "api/overview");
    busy = isBusy(state.overview);
    draw();
    await redrawFacts();
  } catch (error) {
    notify(error.message, true);
  }
  state.timer = setTimeout(refresh, busy ? POLL_MS.busy : POLL_MS.idle);
}

const cellsOf = (dataset) => Object.values(dataset.months).flatMap((stores) => Object.values(stores));
const isOpen = (run) => run && (run.state === "queued" || run.state === "running");
const isBusy = (overview) => overview.datasets.some((dataset) =>
  Object.values(dataset.looks).some((look) => look.running) || cellsOf(dataset).some((cell) => isOpen(cell.run)));

function draw() {
  if (!state.overview) return; // the page has had no answer yet, and says why
  const { datasets, stores } = state.overview;
  const filters = new FormData(document.getElementById("filters"));
  fillFilters(datasets);
  const names = datasets.map((dataset) => dataset.name);
  for (const place of document.querySelectorAll("[data-dataset]")) {
    if (!names.includes(place.dataset.dataset)) place.remove(); // one may not read it any more
  }
  for (const dataset of datasets) {
    const place = document.querySelector(`[data-dataset="${dataset.name}"]`) ?? addSection(dataset);
    place.hidden = Boolean(filters.get("dataset")) && dataset.name !== filters.get("dataset");
    drawSection(place, dataset, stores, filters);
  }
  if (!datasets.length) notify("There is no dataset whose DAGs you may read.");
  else notify(summary(datasets));
}

const OFF = ["behind", "different", "alone"];
/** Whether a month is not the same in all stores; what is unknown is not known to differ. */
const differs = (stores) => Object.values(stores).some((cell) => OFF.includes(cell.state))
  || new Set(Object.values(stores).map((cell) => cell.state).filter((one) => one !== "unknown")
    .map((one) => one === "missing")).size > 1;

function summary(datasets) {
  const looks = datasets.flatMap((dataset) => Object.values(dataset.looks));
  const silent = new Set(datasets.flatMap((dataset) => Object.entries(dataset.looks)
    .filter(([, look]) => look.error).map(([store]) => store)));
  if (looks.some((look) => look.running) && !silent.size) return "Looking at the stores …";
  const months = datasets.flatMap((dataset) => Object.values(dataset.months));
  const off = months.filter(differs).length;
  const open = datasets.flatMap(cellsOf).filter((cell) => isOpen(cell.run)).length;
  const seen = looks.filter((look) => look.answered).map((look) => look.at);
  const parts = silent.size ? [`no answer from ${[...silent].join(", ")}`] : [];
  const hasRows = months.some((stores) => Object.values(stores).some((cell) => cell.rows !== null));
  if (off) parts.push(`${off} ${off === 1 ? "month differs" : "months differ"} between stores`);
  else if (!hasRows && seen.length === looks.length) parts.push("no store has any data yet");
  else if (hasRows && !silent.size) parts.push("all stores have the same");
  if (open) parts.push(`${open} ${open === 1 ? "run is" : "runs are"} on the way`);
  if (seen.length) parts.push(`seen at ${new Date(Math.min(...seen) * 1000).toLocaleTimeString()}`);
  return parts.join("; ");
}

function fillFilters(datasets) {
  const years = [...new Set(datasets.flatMap((dataset) => Object.keys(dataset.months).map((month) => month.slice(0, 4))))];
  const fill = (name, options) => {
    const select = document.querySelector(`select[name=${name}]`);
    const known = new Set([...select.options].map((option) => option.value));
    select.append(...options.filter(([value]) => value && !known.has(value)).map(([value, text]) => el("option", { value }, text)));
  };
  fill("dataset", datasets.map((dataset) => [dataset.name, dataset.title]));
  fill("year", years.sort().map((year) => [year, year]));
}

/** The parts of a section that stay, whatever is drawn anew: what somebody types into its form must not vanish. */
function addSection(dataset) {
  const made = el("section", { "aria-labelledby": `title-${dataset.name}`, "data-dataset": dataset.name },
    el("h3", { id: `title-${dataset.name}` }, dataset.title),
    el("div", { class: "errors", role: "status" }),
    el("div", { class: "scroll" }),
    dataset.monthly ? backfillForm(dataset) ?? el("p", {}, "You may look at these months, but start no runs.") : null);
  document.getElementById("datasets").append(made);
  return made;
}

function drawSection(place, dataset, stores, filters) {
  const months = Object.keys(dataset.months).filter((month) => keeps(filters, month, dataset.months[month]));
  place.querySelector(".errors").replaceChildren(...stores.filter((store) => dataset.looks[store].error)
    .map((store) => el("p", { class: "error" }, `${store}: ${dataset.looks[store].error}`)));
  const looks = stores.map((store) => dataset.looks[store]);
  const noneKnown = looks.every((look) => look.answered) ? noMonth(dataset)
    : looks.some((look) => look.error) ? "No month is known: not every store answers." : "Looking at the stores …";
  const empty = Object.keys(dataset.months).length
    ? "No month matches the filters." : noneKnown;
  const scroll = place.querySelector(".scroll");
  const [left, focused] = [scroll.scrollLeft, scroll.contains(document.activeElement)];
  const [before, now] = [scroll.dataset.months, months.join()];
  scroll.replaceChildren(months.length ? grid(dataset, stores, months) : el("p", {}, empty));
  // Other months than before, as at first: the newest are in sight.
  scroll.scrollLeft = before === now ? left : scroll.scrollWidth;
  scroll.dataset.months = now;
  if (focused) scroll.querySelector('[tabindex="0"]')?.focus();
}

/** What to say of a dataset without months, to whoever may load some. */
function noMonth(dataset) {
  const { tlc, mirror } = dataset.published;
  const since = `The TLC has months ${tlc}, the mirror of DataTalksClub ${mirror}; choose some below.`;
  return sources(dataset).some(([store]) => dataset.may_run[store]) ? `No month yet. ${since}` : "No month yet.";
}

function keeps(filters, month, cells) {
  if (filters.get("year") && month.slice(0, 4) !== filters.get("year")) return false;
  return !filters.get("differ") || differs(cells);
}

function grid(dataset, stores, months) {
  const most = Math.max(1, ...cellsOf(dataset).map((cell) => cell.rows || 0));
  // One cell of each table is reached by Tab, the others from there by the arrow keys.
  const keys = stores.flatMap((store) => months.map((month) => `${dataset.name}/${month}/${store}`));
  if (!keys.includes(state.focus[dataset.name])) state.focus[dataset.name] = keys[months.length - 1];
  const rows = stores.map((store) => el("tr", {},
    el("th", { class: "store", scope: "row" }, store),
    months.map((month) => el("td", {}, cellButton(dataset, store, month, most)))));
  return el("table", { class: "grid", onkeydown: moveFocus },
    el("thead", {}, dataset.monthly ? heads(months) : null), el("tbody", {}, rows));
}

/** A row with the years, each above the first of its months that are shown, and a row with the months. */
function heads(months) {
  const years = months.filter((month, index) => month.slice(0, 4) !== months[index - 1]?.slice(0, 4)).map((month) => month.slice(0, 4));
  const corner = () => el("th", { class: "store" });
  return [
    el("tr", {}, corner(), years.map((year) => el("th", { class: "year", scope: "colgroup",
      colspan: months.filter((month) => month.startsWith(year)).length }, el("span", {}, year)))),
    el("tr", {}, corner(), months.map((month) => el("th", { class: "month", scope: "col" }, month.slice(5)))),
  ];
}

function cellButton(dataset, store, month, most) {
  const cell = dataset.months[month][store];
  const key = `${dataset.name}/${month}/${store}`;
  const run = cell?.run ? (cell.run.state === "failed" ? "failed" : isOpen(cell.run) ? "running" : "") : "";
  const heat = cell?.rows ? Math.max(1, Math.ceil(HEATS * cell.rows / most)) : 1;
  const words = [`${dataset.name} ${month}`.trim(), `${store}: ${wordsOf(cell)}`].join(", ");
  return el("button", {
    type: "button", class: `cell ${cell?.state ?? "missing"} ${run}`, "data-heat": heat, "data-key": key,
    "aria-label": words, title: words, tabindex: state.focus[dataset.name] === key ? "0" : "-1",
    onclick: () => { remember(dataset.name, key); openMonth(dataset, month); },
  });
}

const WORDS = {
  same: "as in the lake", behind: "made from another version than the lake has",
  different: "another number of rows than in the lake", alone: "not in the lake", missing: "not there",
  unknown: "the store has not answered yet",
};

function wordsOf(cell) {
  const rows = cell.rows === null ? "" : `${number.format(cell.rows)} rows, `;
  const run = cell.run && cell.run.state !== "success" ? `, last run ${cell.run.state}` : "";
  return `${rows}${WORDS[cell.state]}${run}`;
}

/** The arrow keys move through the cells of a table. */
function moveFocus(event) {
  const steps = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };
  const step = steps[event.key];
  const cell = event.target.closest("td");
  if (!step || !cell) return;
  const row = cell.parentElement;
  const next = row.parentElement.rows[row.sectionRowIndex + step[0]]?.cells[cell.cellIndex + step[1]];
  const button = next?.querySelector("button");
  if (button) {
    remember(button.dataset.key.split("/")[0], button.dataset.key);
    button.focus();
  }
  event.preventDefault();
}

/** Make a cell the one that Tab reaches in its table. */
function remember(name, key) {
  const table = document.querySelector(`[data-dataset="${name}"]`);
  table.querySelector('.cell[tabindex="0"]')?.setAttribute("tabindex", "-1");
  table.querySelector(`[data-key="${CSS.escape(key)}"]`)?.setAttribute("tabindex", "0");
  state.focus[name] = key;
}

// --- Loading ------------------------------------------------------------------------------------------------------

const sources = (dataset) => Object.entries(dataset.dag_ids).filter(([store]) => dataset.loads[store] === null);

function backfillForm(dataset) {
  const choices = sources(dataset).filter(([store]) => dataset.may_run[store]);
  if (!choices.length) return null;
  const form = el("form", { class: "backfill", "aria-label": `Backfill ${dataset.name}`, onsubmit: (event) => {
    event.preventDefault();
    once(form.querySelector("button"), () => backfill(dataset, new FormData(form)));
  }, oninput: () => { count.textContent = countOf(new FormData(form)); } },
  el("label", {}, "From ", el("input", { name: "from", placeholder: "2021-01", pattern: "[0-9]{4}-(0[1-9]|1[0-2])", size: 7, required: true })),
  el("label", {}, "to ", el("input", { name: "to", placeholder: "2021-03", pattern: "[0-9]{4}-(0[1-9]|1[0-2])", size: 7, required: true })),
  el("label", {}, "with ", el("select", { name: "dag" }, choices.map(([, dag]) => el("option", { value: dag }, dag)))),
  el("button", {}, "Backfill"));
  const count = el("span", { role: "status" });
  form.append(count);
  return form;
}

function monthsBetween(from, to) {
  const index = (month) => Number(month.slice(0, 4)) * 12 + Number(month.slice(5)) - 1;
  return index(to) - index(from) + 1;
}

function countOf(given) {
  const [from, to] = [given.get("from"), given.get("to")];
  if (!/^\d{4}-\d\d$/.test(from) || !/^\d{4}-\d\d$/.test(to)) return "";
  const months = monthsBetween(from, to);
  return months < 1 ? "the end is before the start" : months === 1 ? `one month, ${from}` : `${months} months, ${from} to ${to}, both included`;
}

async function backfill(dataset, given) {
  const [dag, from, to] = [given.get("dag"), given.get("from"), given.get("to")];
  if (monthsBetween(from, to) < 1) throw new Error(`${to} is before ${from}: exchange the two`);
  if (!(await unpaused(dataset, dag))) return;
  await send("POST", "backfills", { dag_id: dag, from_date: `${from}-01T00:00:00Z`, to_date: `${to}-01T00:00:00Z`,
    reprocess_behavior: "failed" });
  tell(`Started ${dag}: ${countOf(given)}. Months whose last run has succeeded get no new one.`);
  await refresh();
}

async function load(dataset, store, month, again) {
  const dag = dataset.dag_ids[store];
  if (!(await unpaused(dataset, dag))) return;
  const run = await send("POST", `dags/${dag}/dagRuns`, {
    logical_date: null, ...(month ? { partition_key: month } : {}), conf: again ? { force: true } : {},
  });
  document.getElementById("month").close();
  tell(`Started ${dag} ${month}: ${run.dag_run_id}`);
  await refresh();
}

/** A paused DAG starts nothing. Ask once, and unpause it with the DAGs that load on from it. */
async function unpaused(dataset, dag) {
  const start = Object.keys(dataset.dag_ids).find((store) => dataset.dag_ids[store] === dag);
  const ids = Object.keys(dataset.dag_ids).filter((store) => store === start || dataset.loads[store] === start)
    .map((store) => dataset.dag_ids[store]);
  const found = await Promise.all(ids.map((id) => ask(new URL(`dags/${id}`, API))));
  const paused = found.filter((one) => one.is_paused).map((one) => one.dag_id);
  if (!paused.length) return true;
  if (!(await confirmed(`${paused.join(" and ")} ${paused.length > 1 ? "are" : "is"} paused. Unpause, and start?`))) return false;
  for (const id of paused) await send("PATCH", `dags/${id}`, { is_paused: false });
  return true;
}

/** Ask in a dialog of the page: Airflow's frame does not allow the browser's own. */
function confirmed(question) {
  const dialog = document.getElementById("question");
  dialog.querySelector("p").textContent = question;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

// --- One month ----------------------------------------------------------------------------------------------------

async function openMonth(dataset, month) {
  const opening = ++state.opening;
  [state.opened, state.month] = [dataset.name, month];
  const dialog = document.getElementById("month");
  document.getElementById("month-title").textContent = `${dataset.title} ${month}`;
  const content = document.getElementById("month-content");
  content.replaceChildren(el("p", {}, "Looking …"));
  tell("");
  if (!dialog.open) dialog.showModal();
  const path = pathOf(dataset.name, month);
  try {
    const found = await ask(path);
    if (opening !== state.opening) return; // another month has been opened meanwhile
    const [plots, rows] = [el("div", { class: "plots" }), el("div", {})];
    content.replaceChildren(facts(dataset, month, found), plots, rows);
    await Promise.all([month ? fill(plots, `${path}/trips`, drawProfile) : null, fill(rows, `${path}/rows`, drawRows)]);
  } catch (error) {
    if (opening === state.opening) content.replaceChildren(el("p", { class: "error" }, error.message));
  }
}

const pathOf = (name, month) => `api/months/${name}/${month || "-"}`;

/** What the stores and the runs of the open month are by now; its plots and rows stay. */
async function redrawFacts() {
  const opening = state.opening;
  const table = document.querySelector("#month[open] .facts");
  if (!table) return;
  const found = await ask(pathOf(state.opened, state.month));
  // Another month has been opened meanwhile, or a click is being answered.
  if (opening !== state.opening || table.querySelector("button:disabled")) return;
  const dataset = state.overview.datasets.find((one) => one.name === state.opened);
  if (!dataset) throw new Error(`You may not read ${state.opened} any more.`);
  const made = facts(dataset, state.month, found);
  if (made.innerHTML === table.innerHTML) return;
  const focused = [...table.querySelectorAll("a, button")].indexOf(document.activeElement);
  table.replaceWith(made);
  made.querySelectorAll("a, button")[focused]?.focus();
}

async function fill(place, path, drawIt) {
  place.replaceChildren(el("p", {}, "Asking BigQuery …"));
  try {
    place.replaceChildren(...drawIt(await ask(path)));
  } catch (error) {
    place.replaceChildren(el("p", {}, error.message));
  }
}

function facts(dataset, month, found) {
  const rows = Object.entries(found.stores).map(([store, one]) => el("tr", {},
    el("th", { scope: "row" }, store),
    el("td", { class: "number" }, one.stored ? number.format(one.stored.rows) : "–"),
    el("td", {}, WORDS[stateOf(dataset, store, month)], el("div", { class: "made-from" }, one.stored?.made_from ?? "")),
    el("td", {}, one.stored?.published_at ? new Date(one.stored.published_at).toLocaleString() : ""),
    el("td", {}, one.run ? runLink(one.run) : ""),
    el("td", {}, dataset.may_run[store] ? loadButton(dataset, store, month) : "")));
  const heads = ["Store", "Rows", "Made from", "Published", "Last run", ""];
  return el("table", { class: "facts" }, el("thead", {}, el("tr", {}, heads.map((head) => el("th", {}, head)))), el("tbody", {}, rows));
}

/** Load what the store lacks; what it has is loaded again, although the source has not changed. */
function loadButton(dataset, store, month) {
  const again = ["same", "different"].includes(stateOf(dataset, store, month));
  return el("button", { type: "button", onclick: (event) =>
    once(event.target, () => load(dataset, store, month, again)) }, again ? "Load again" : "Load");
}

const stateOf = (dataset, store, month) => dataset.months[month]?.[store]?.state ?? "unknown";

function runLink(run) {
  const path = `dags/${run.dag_id}/runs/${encodeURIComponent(run.run_id)}`;
  const href = new URL(`../${path}`, document.baseURI);
  return el("a", { href, onclick: (event) => { event.preventDefault(); go(href); } }, `${run.state}: ${run.dag_id}`);
}

/** Airflow shows the page in a frame that may not navigate its window; Airflow's own router may. */
function go(href) {
  if (window.parent === window) {
    window.location.assign(href);
    return;
  }
  window.parent.history.pushState({}, "", href);
  window.parent.dispatchEvent(new PopStateEvent("popstate", { state: {} }));
}

function drawProfile(profile) {
  const nulls = Object.entries(profile.nulls).map(([name, count]) => [name, count / profile.trips]);
  const shares = [...nulls, ...(profile.refunds ? [["refunds (negative total)", profile.refunds / profile.trips]] : [])];
  return [
    el("h3", {}, "Trips a day"), days(profile.days),
    el("h3", {}, "Busiest zones"), bars(Object.entries(profile.zones), profile.trips, (value) => number.format(value)),
    el("h3", {}, "Share of nulls and refunds"),
    shares.length ? bars(shares, 1, (value) => `${(100 * value).toFixed(1)} %`) : el("p", {}, "none"),
  ];
}

function bars(entries, most, text) {
  return el("div", { class: "bars" }, entries.flatMap(([name, value]) => [
    el("span", {}, name), el("meter", { max: most, value, "aria-label": name }), el("span", { class: "number" }, text(value))]));
}

/** A bar for each day. Days outside the month, which the files have too, are one number below. */
function days(counts) {
  const entries = Object.entries(counts);
  const common = mostCommonMonth(entries);
  const inside = entries.filter(([day]) => day.startsWith(common));
  const outside = entries.filter(([day]) => !day.startsWith(common)).reduce((sum, [, count]) => sum + count, 0);
  const [width, height, most] = [20, 120, Math.max(...inside.map(([, count]) => count))];
  const drawn = inside.flatMap(([day, count], index) => {
    const size = Math.max(1, height * count / most);
    return [
      el("rect", { x: index * width + 2, y: height - size, width: width - 4, height: size },
        el("title", {}, `${day}: ${number.format(count)} trips`)),
      el("text", { x: index * width + width / 2, y: height + 12, "text-anchor": "middle" }, day.slice(8)),
    ];
  });
  const plot = el("svg", { viewBox: `0 0 ${inside.length * width} ${height + 16}`, role: "img",
    "aria-label": `Trips a day, at most ${number.format(most)}` }, drawn);
  return el("div", {}, plot, outside ? el("p", {}, `${number.format(outside)} trips have a pickup outside the month, as in the file`) : null);
}

function mostCommonMonth(entries) {
  const totals = {};
  for (const [day, count] of entries) totals[day.slice(0, 7)] = (totals[day.slice(0, 7)] ?? 0) + count;
  return Object.entries(totals).sort((one, other) => other[1] - one[1])[0]?.[0] ?? "";
}

function drawRows(found) {
  const heads = found.columns.map((name) => el("th", { scope: "col" }, name));
  const rows = found.rows.map((row) => el("tr", {}, row.map((value) => el("td", {}, value ?? "–"))));
  return [el("h3", {}, "First rows"), el("div", { class: "scroll" },
    el("table", { class: "rows" }, el("thead", {}, el("tr", {}, heads)), el("tbody", {}, rows)))];
}

// --- Start --------------------------------------------------------------------------------------------------------

/** Follow Airflow's theme, which its own page keeps as a class. */
function followTheme() {
  const own = window.parent === window ? null : window.parent.document.documentElement;
  const dark = own ? own.classList.contains("dark") : window.matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  if (own && !state.watchesTheme) {
    state.watchesTheme = true;
    new MutationObserver(followTheme).observe(own, { attributes: true, attributeFilter: ["class"] });
  }
}

/** As a tab of a DAG the page shows its dataset; as a tab of a run it opens the run's month. */
async function openWhatTheAddressNames() {
  const given = new URLSearchParams(window.location.search);
  const [dag, run] = [given.get("dag_id"), given.get("run_id")];
  const dataset = state.overview?.datasets.find((one) => Object.values(one.dag_ids).includes(dag));
  if (!dataset) return;
  document.querySelector("select[name=dataset]").value = dataset.name;
  draw();
  if (!run) return;
  const { month } = await ask(`api/runs/${dag}/${encodeURIComponent(run)}`);
  if (month === null) tell(`The run ${run} has no month.`, true);
  else await openMonth(dataset, month);
}

document.getElementById("filters").addEventListener("change", draw);
document.getElementById("again").addEventListener("click", () => refresh({ again: true }));
// What had the focus before a month was opened may have been drawn anew meanwhile.
document.getElementById("month").addEventListener("close", () => {
  state.opening += 1;
  const key = Object.values(state.focus).find((one) => one.startsWith(`${state.opened}/`));
  if (key) document.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus();
});
followTheme();
await refresh();
try {
  await openWhatTheAddressNames();
} catch (error) {
  tell(error.message, true);
}
