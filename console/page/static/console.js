// The console works without this module. It adds live updates, filters while typing, files that
// are dropped on the manifest, and buttons that copy commands.

const announcement = document.getElementById('announcement');
const indicator = document.getElementById('live');
let fetching = null; // the request in flight
let stale = false; // a change arrived while the page was hidden, in use or being fetched
let source = null; // of changes
let ended = false; // the object of the page was deleted
const shown = new WeakMap(); // the HTML of each region, as the server sent it

// keyOf identifies an element within its region across versions of the page.
function keyOf(element) {
  const row = element.closest('[data-key]');
  const own = element.id || element.getAttribute('href') || element.tagName;
  return (row ? row.dataset.key : '') + '\n' + own;
}

// replace puts the new content of a region in place. The focus and open details stay.
function replace(region, fresh) {
  const html = fresh.innerHTML;
  if (shown.get(region) === html) return;
  shown.set(region, html);
  const focused = region.contains(document.activeElement) ? keyOf(document.activeElement) : null;
  const keyed = (selector) => [...region.querySelectorAll(selector)].map((e) => e.closest('[data-key]')?.dataset.key);
  const open = new Set(keyed('details[open]'));
  const known = new Set(keyed('[data-key]'));
  const before = region.dataset.summary;
  region.replaceChildren(...fresh.childNodes);
  for (const row of region.querySelectorAll('[data-key]')) {
    if (!known.has(row.dataset.key)) row.classList.add('fresh');
    const details = row.querySelector('details');
    if (details && open.has(row.dataset.key)) details.open = true;
  }
  if (focused) {
    for (const candidate of region.querySelectorAll('a, button, summary, input, select, [tabindex]')) {
      if (keyOf(candidate) === focused) { candidate.focus({ preventScroll: true }); break; }
    }
  }
  enhance(region);
  region.dataset.summary = fresh.dataset.summary || '';
  if (fresh.dataset.summary && fresh.dataset.summary !== before) announcement.textContent = fresh.dataset.summary;
}

// selecting reports whether a text in a live region is selected, which an update would undo.
function selecting() {
  const selection = getSelection();
  return !selection.isCollapsed && selection.anchorNode?.parentElement?.closest('[data-live]');
}

// update fetches a version of this page and replaces its live regions.
async function update(address) {
  fetching?.abort();
  const request = fetching = new AbortController();
  try {
    const response = await fetch(address, { headers: { Accept: 'text/html' }, signal: request.signal });
    if (response.redirected && new URL(response.url).pathname === '/console/login') { location.reload(); return; }
    if (!response.ok && response.status !== 404) { connected(false); stale = true; return; }
    const fresh = new DOMParser().parseFromString(await response.text(), 'text/html');
    if (response.status === 404) { gone(fresh); return; }
    for (const region of document.querySelectorAll('[data-live]')) {
      const counterpart = fresh.getElementById(region.id);
      if (counterpart) replace(region, document.adoptNode(counterpart));
    }
  } catch (error) {
    if (error.name !== 'AbortError') { connected(false); stale = true; }
  } finally {
    if (fetching === request) fetching = null;
  }
}

// gone shows that the object of this page was deleted, which ends the updates.
function gone(fresh) {
  ended = true;
  source?.close();
  if (indicator) indicator.hidden = true;
  document.title = fresh.title;
  const main = document.getElementById('main');
  main.replaceChildren(...document.adoptNode(fresh.getElementById('main')).childNodes);
  announcement.textContent = main.querySelector('h1').textContent;
}

async function refresh() {
  if (ended) return;
  if (document.hidden || selecting() || fetching) { stale = true; return; }
  stale = false;
  await update(location.href);
}

function connected(up) {
  if (!indicator) return;
  indicator.hidden = ended;
  indicator.textContent = up ? 'Live' : 'Reconnecting';
  indicator.classList.toggle('off', !up);
}

// follow listens for changes while the page is visible: browsers open few connections to a host.
function follow(topics) {
  const listen = () => {
    if (document.hidden || ended) { source?.close(); source = null; return; }
    if (source) return;
    source = new EventSource('/console/events?topics=' + encodeURIComponent(topics));
    source.addEventListener('open', () => { connected(true); refresh(); }); // for what changed before
    source.addEventListener('change', refresh);
    source.addEventListener('error', () => {
      connected(false);
      if (source.readyState === EventSource.CLOSED) { // refused, so the browser does not retry
        source = null;
        setTimeout(listen, 5000);
      }
    });
  };
  document.addEventListener('visibilitychange', () => { listen(); if (!document.hidden) refresh(); });
  addEventListener('pagehide', () => { source?.close(); source = null; });
  addEventListener('pageshow', listen);
  setInterval(() => { if (stale) refresh(); }, 500);
  setInterval(refresh, 60_000); // ages
  listen();
}

// filterWhileTyping submits a filter without leaving the field.
function filterWhileTyping(form) {
  let timer = 0;
  const submit = () => {
    const query = new URLSearchParams(new FormData(form));
    for (const [name, value] of [...query]) if (!value) query.delete(name);
    const address = form.action.split('?')[0] + (query.size ? '?' + query : '');
    history.replaceState(null, '', address);
    update(address);
  };
  form.addEventListener('input', () => { clearTimeout(timer); timer = setTimeout(submit, 200); });
  form.addEventListener('submit', (event) => { event.preventDefault(); clearTimeout(timer); submit(); });
}

// acceptFiles reads dropped files into the manifest, and submits by Ctrl+Enter.
function acceptFiles(form) {
  const manifest = form.elements.manifest;
  manifest.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  manifest.addEventListener('dragover', (event) => { event.preventDefault(); manifest.classList.add('drop'); });
  manifest.addEventListener('dragleave', () => manifest.classList.remove('drop'));
  manifest.addEventListener('drop', async (event) => {
    event.preventDefault();
    manifest.classList.remove('drop');
    const files = [...event.dataTransfer.files];
    const texts = files.length ? await Promise.all(files.map((file) => file.text())) : [event.dataTransfer.getData('text')];
    manifest.value = texts.join('\n---\n');
    manifest.focus();
    announcement.textContent = files.length + ' files read';
  });
}

// enhance adds a button to each command that copies it.
function enhance(root) {
  if (!navigator.clipboard) return;
  for (const command of root.querySelectorAll('.command:not(.copyable)')) {
    command.classList.add('copyable');
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = 'Copy';
    button.addEventListener('click', async () => {
      await navigator.clipboard.writeText(command.querySelector('code').textContent);
      button.textContent = 'Copied';
      announcement.textContent = 'Copied';
      setTimeout(() => { button.textContent = 'Copy'; }, 2000);
    });
    command.append(button);
  }
}

for (const region of document.querySelectorAll('[data-live]')) shown.set(region, region.innerHTML);
document.querySelectorAll('form[data-filter]').forEach(filterWhileTyping);
document.querySelectorAll('form[data-explain]').forEach(acceptFiles);
enhance(document);
document.getElementById('results')?.focus();
if (document.body.dataset.topics) follow(document.body.dataset.topics);
