// The page of dsr-fit report: a table that draws only the rows in sight, and the fit that is chosen, decoded when it is.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const read = (id) => JSON.parse($(id).textContent);
  const rows = read("index");
  const ROW = 26;
  const columns = [
    ["name", "picture", 1], ["status", "status", 1], ["people", "people", -1], ["worst", "error %", -1],
    ["px", "error px", -1], ["warnings", "warnings", -1], ["seconds", "seconds", -1],
  ];
  const sorting = { key: "worst", sign: -1 };
  const chosen = new Set(rows.map((row) => row.status));
  let shown = [];
  let at = -1;

  // --- filters ---------------------------------------------------------------------------------------------------
  const counts = (values) => values.reduce((map, value) => map.set(value, (map.get(value) || 0) + 1), new Map());
  const kinds = (row) => [...new Set(row.said.map((sentence) => sentence.replace(/^p\d+: /, "").replace(/\d+(\.\d+)?/g, "N").slice(0, 120)))];
  for (const row of rows) row.kinds = kinds(row);
  for (const [status, count] of [...counts(rows.map((row) => row.status))].sort()) {
    const label = document.createElement("label");
    const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: true, value: status });
    box.addEventListener("change", () => { box.checked ? chosen.add(status) : chosen.delete(status); filter(); });
    label.append(box, ` ${status} ${count}`);
    $("statuses").append(label);
  }
  const some = Object.assign(document.createElement("option"), { value: "*", textContent: `any warning (${rows.filter((row) => row.said.length).length})` });
  $("warning").append(some);
  for (const [kind, count] of [...counts(rows.flatMap((row) => row.kinds))].sort((a, b) => b[1] - a[1])) {
    $("warning").append(Object.assign(document.createElement("option"), { value: kind, textContent: `${kind} (${count})` }));
  }
  $("warning").addEventListener("change", () => filter());
  $("search").addEventListener("input", () => filter());

  const passes = (row) => {
    const warning = $("warning").value;
    const text = $("search").value.toLowerCase();
    return chosen.has(row.status) && (!warning || (warning === "*" ? row.said.length : row.kinds.includes(warning))) &&
      (!text || row.name.toLowerCase().includes(text));
  };
  const compare = (a, b) => {
    const [x, y] = [a[sorting.key], b[sorting.key]];
    if (x === null || y === null) return (x === null) - (y === null) || a.i - b.i; // what has no figure comes last
    const order = typeof x === "string" ? x.localeCompare(y) : x - y;
    return sorting.sign * order || a.i - b.i;
  };

  function filter() {
    const kept = shown[at];
    shown = rows.filter(passes).sort(compare);
    $("count").textContent = `${shown.length} of ${rows.length}`;
    $("space").style.height = `${shown.length * ROW}px`;
    const place = kept ? shown.indexOf(kept) : -1;
    at = -1;
    choose(Math.max(place, shown.length ? 0 : -1), true);
  }

  // --- table -----------------------------------------------------------------------------------------------------
  const figure = (value, digits) => (value === null ? "" : value.toFixed(digits));
  for (const [key, title, sign] of columns) {
    const cell = document.createElement("span");
    cell.setAttribute("role", "columnheader");
    const button = Object.assign(document.createElement("button"), { textContent: title });
    button.addEventListener("click", () => {
      sorting.sign = sorting.key === key ? -sorting.sign : sign;
      sorting.key = key;
      filter();
    });
    cell.append(button);
    $("head").append(cell);
    cell.dataset.key = key;
  }

  function draw() {
    for (const cell of $("head").children) {
      const sort = cell.dataset.key !== sorting.key ? "none" : sorting.sign > 0 ? "ascending" : "descending";
      cell.setAttribute("aria-sort", sort);
      cell.firstChild.textContent = columns.find((one) => one[0] === cell.dataset.key)[1] + { none: "", ascending: " ▲", descending: " ▼" }[sort];
    }
    const first = Math.max(0, Math.floor($("list").scrollTop / ROW) - 4);
    const last = Math.min(shown.length, first + Math.ceil($("list").clientHeight / ROW) + 8);
    const parts = [];
    for (let k = first; k < last; k++) {
      const row = shown[k];
      const line = document.createElement("div");
      line.setAttribute("role", "row");
      line.setAttribute("aria-selected", k === at);
      line.id = `row${k}`;
      if (row.failed) line.className = "failed";
      for (const text of [row.name, row.status, row.people, figure(row.worst, 2), figure(row.px, 1), row.warnings || "", figure(row.seconds, 2)]) {
        line.append(Object.assign(document.createElement("span"), { textContent: text, title: text }));
      }
      line.addEventListener("click", () => { choose(k); $("list").focus(); });
      parts.push(line);
    }
    $("rows").style.top = `${first * ROW}px`;
    $("rows").replaceChildren(...parts);
  }
  $("list").addEventListener("scroll", draw);
  addEventListener("resize", draw);

  function choose(k, quiet = false) {
    at = Math.min(Math.max(k, shown.length ? 0 : -1), shown.length - 1);
    const top = at * ROW;
    const list = $("list");
    if (at >= 0 && (top < list.scrollTop || top + 2 * ROW > list.scrollTop + list.clientHeight)) list.scrollTop = Math.max(0, top - list.clientHeight / 3);
    draw();
    list.setAttribute("aria-activedescendant", at < 0 ? "" : `row${at}`);
    detail(shown[at]);
    if (at >= 0 && !quiet) history.replaceState(null, "", `#${shown[at].i}`);
  }

  // --- one fit ---------------------------------------------------------------------------------------------------
  function detail(row) {
    const fit = row && $(`fit${row.i}`) ? read(`fit${row.i}`) : {};
    $("name").textContent = row ? row.name : "Nothing here";
    $("facts").textContent = row ? [row.message, fit.facts].filter(Boolean).join(" ") : "";
    for (const view of ["photo", "overlay", "side"]) {
      $(view).parentNode.hidden = !fit[view];
      fit[view] ? ($(view).src = `data:image/webp;base64,${fit[view]}`) : $(view).removeAttribute("src");
      $(view).alt = row ? `${view} of ${row.name}` : "";
    }
    $("warnings").replaceChildren(...(row ? row.said : []).map((text) => Object.assign(document.createElement("li"), { textContent: text })));
    const people = (fit.people || []).map((person) => {
      const line = document.createElement("tr");
      line.append(...Object.values(person).map((text) => Object.assign(document.createElement("td"), { textContent: text })));
      return line;
    });
    if (people.length) {
      const head = document.createElement("tr");
      head.append(...Object.keys(fit.people[0]).map((text) => Object.assign(document.createElement("th"), { textContent: text })));
      people.unshift(head);
    }
    $("people").replaceChildren(...people);
    stage.show(fit.bodies ? fit : null);
  }

  // --- bodies ----------------------------------------------------------------------------------------------------
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const meshes = read("meshes");
  function makeStage() {
    const canvas = $("body");
    let renderer;
    try {
      renderer = new THREE.WebGLRenderer({ canvas, antialias: true, preserveDrawingBuffer: true });
    } catch {
      $("turn").textContent = "this browser has no WebGL: no body to turn";
      return { show() {}, turn() {}, look() {} };
    }
    const scene = new THREE.Scene();
    scene.background = new THREE.Color(0xe9edf2);
    const camera = new THREE.PerspectiveCamera(30, 1, 0.05, 500);
    const controls = new THREE.OrbitControls(camera, canvas);
    controls.addEventListener("change", render);
    scene.add(new THREE.HemisphereLight(0xffffff, 0x99a0aa, 1.7));
    const sun = new THREE.DirectionalLight(0xffffff, 1.6);
    sun.position.set(-2, 4, 5);
    scene.add(sun);
    let group = null, radius = 1, height = 0;

    function render() {
      const width = canvas.clientWidth, tall = canvas.clientHeight;
      renderer.setPixelRatio(devicePixelRatio);
      renderer.setSize(width, tall, false);
      camera.aspect = width / Math.max(tall, 1);
      camera.updateProjectionMatrix();
      renderer.render(scene, camera);
    }
    function show(fit) {
      canvas.parentNode.hidden = !fit;
      if (group) {
        scene.remove(group);
        group.traverse((part) => { if (part.geometry) { part.geometry.dispose(); part.material.dispose(); } });
        group = null;
      }
      if (!fit) return;
      group = new THREE.Group();
      const mesh = meshes[fit.mesh];
      const faces = new THREE.BufferAttribute(new Uint16Array(bytes(mesh).buffer), 1);
      fit.bodies.forEach((body, k) => {
        const points = Float32Array.from(new Int16Array(bytes(body.points).buffer), (value) => value * fit.step);
        const geometry = new THREE.BufferGeometry();
        geometry.setAttribute("position", new THREE.BufferAttribute(points, 3));
        geometry.setIndex(faces);
        geometry.computeVertexNormals();
        group.add(new THREE.Mesh(geometry, new THREE.MeshLambertMaterial({ color: body.colour })));
      });
      radius = fit.radius;
      height = fit.low;
      const grid = new THREE.GridHelper(2 * Math.ceil(radius + 1), 2 * Math.ceil(radius + 1), 0x8899aa, 0xc3ccd6);
      grid.position.y = height;
      group.add(grid);
      scene.add(group);
      look("camera");
    }
    function look(from) {
      const away = radius / Math.sin((camera.fov * Math.PI) / 360) * 1.05;
      const direction = { camera: [0, 0.1, 1], side: [1, 0.1, 0.001], top: [0, 1, 0.001] }[from];
      camera.position.set(...direction).normalize().multiplyScalar(away);
      controls.target.set(0, 0, 0);
      controls.update();
      render();
    }
    function turn(degrees) {
      camera.position.applyAxisAngle(new THREE.Vector3(0, 1, 0), (degrees * Math.PI) / 180);
      controls.update();
      render();
    }
    addEventListener("resize", () => group && render());
    return { show, turn, look };
  }
  let stage = { show(fit) { waiting = fit; }, turn() {}, look() {} }; // the table is there before WebGL has started
  let waiting = null;

  // --- keys ------------------------------------------------------------------------------------------------------
  const keys = {
    ArrowDown: () => choose(at + 1), j: () => choose(at + 1), ArrowUp: () => choose(at - 1), k: () => choose(at - 1),
    PageDown: () => choose(at + 10), PageUp: () => choose(at - 10), Home: () => choose(0), End: () => choose(shown.length - 1),
    ArrowLeft: () => stage.turn(-15), ArrowRight: () => stage.turn(15),
    0: () => stage.look("camera"), s: () => stage.look("side"), t: () => stage.look("top"), "/": () => $("search").focus(),
  };
  addEventListener("keydown", (event) => {
    if (event.key === "Escape") return $("list").focus();
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select, input")) return;
    if (event.key in keys) {
      keys[event.key]();
      event.preventDefault();
    }
  });

  filter();
  const wanted = rows[Number(location.hash.slice(1))];
  if (location.hash && wanted && shown.includes(wanted)) choose(shown.indexOf(wanted), true);
  $("list").focus({ preventScroll: true });
  requestAnimationFrame(() => setTimeout(() => {
    document.body.dataset.ready = String(Math.round(performance.now()));
    stage = makeStage();
    stage.show(waiting);
    document.body.dataset.turns = "1";
  }));
})();
