'use strict';
// Texts reach the page only through textContent. Without this script, every row is still shown.
(() => {
  const AT_ONCE = 100;
  const PRINTED_TRAILS = 200;
  const byId = (id) => document.getElementById(id);
  const element = (name, text, className) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  };
  const counted = (number) => `${number} finding${number === 1 ? '' : 's'}`;
  const table = byId('table');
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const numbers = new Map(rows.map((row, number) => [row, number]));
  const opened = new Map();
  let order = rows;
  let limit = AT_ONCE;
  let parsed;
  const details = () => (parsed ??= JSON.parse(byId('details').textContent));

  // Details: facts and audit trail, built on request.
  const text = (place) => details().texts[place];
  const pairs = (list) => list.map(([name, value]) => [text(name), text(value)]);
  const facts = (list) => {
    const made = element('dl');
    for (const [name, value] of list) {
      const pair = made.appendChild(element('div'));
      pair.append(element('dt', name), element('dd', value));
    }
    return made;
  };
  const entry = ([place, hash, event, at, written, what, by, rest]) => {
    const made = element('li');
    const head = element('div', undefined, 'head');
    head.append(element('span', `${place}`, 'code'), element('span', text(at)), element('b', text(what)));
    if (by !== null) head.append(element('span', text(by)));
    const more = pairs(rest);
    if (event !== null) more.push(['event', event]);
    if (written !== at) more.push(['recorded', text(written)]);
    more.push(['hash', hash]);
    const list = facts(more);
    list.lastElementChild.className = 'hash';
    made.append(head, list);
    return made;
  };
  const detail = (number) => {
    const finding = details().findings[number];
    const [place, start, end] = finding.trail;
    const trail = details().trails[place];
    const row = element('tr', undefined, 'detail');
    const cell = row.appendChild(element('td'));
    cell.colSpan = table.tHead.rows[0].cells.length;
    const box = cell.appendChild(element('div'));
    box.append(facts(pairs(finding.facts)));
    const shown = end > start ? `entries ${start + 1} to ${end} of ${trail.length}` : 'no entries';
    box.append(element('h3', `Audit trail: ${finding.state}, ${shown}`));
    if (finding.trouble !== null) box.append(element('p', finding.trouble, 'trouble'));
    const list = box.appendChild(element('ol'));
    for (const one of trail.slice(start, end)) list.append(entry(one));
    return row;
  };
  const buttonOf = (row) => {
    const known = row.querySelector('button');
    if (known) return known;
    const button = element('button', 'Details');
    button.type = 'button';
    button.setAttribute('aria-expanded', 'false');
    button.setAttribute('aria-label', `Details of ${row.cells[2].textContent}, ${row.cells[4].textContent}`);
    row.cells[8].firstElementChild.after(button);
    return button;
  };
  const open = (row) => {
    const made = detail(numbers.get(row));
    made.id = `detail-${numbers.get(row)}`;
    row.after(made);
    opened.set(row, made);
    const button = buttonOf(row);
    button.setAttribute('aria-expanded', 'true');
    button.setAttribute('aria-controls', made.id);
  };
  const close = (row) => {
    opened.get(row).remove();
    opened.delete(row);
    const button = buttonOf(row);
    button.setAttribute('aria-expanded', 'false');
    button.removeAttribute('aria-controls');
  };
  body.addEventListener('click', (event) => {
    const row = event.target.closest('td > button')?.closest('tr');
    if (row) opened.has(row) ? close(row) : open(row);
  });

  // Filter, and limit how many rows are shown at once.
  const texts = new Map();
  const textOf = (row) => {
    if (!texts.has(row)) {
      const { facts: known } = details().findings[numbers.get(row)];
      const all = [row.textContent, ...known.map(([, value]) => text(value))];
      texts.set(row, all.join('\n').toLowerCase());
    }
    return texts.get(row);
  };
  const choice = (id) => byId(id).value;
  const matches = (row, words) =>
    (!choice('status') || row.cells[1].textContent === choice('status')) &&
    (!choice('severity') || row.cells[0].textContent === choice('severity')) &&
    (!choice('account') || row.cells[3].textContent === choice('account')) &&
    words.every((word) => textOf(row).includes(word));
  let matching = rows;
  const show = () => {
    const words = choice('text').toLowerCase().split(/\s+/).filter(Boolean);
    matching = order.filter((row) => matches(row, words));
    const seen = new Set(matching);
    for (const row of rows) {
      row.hidden = !seen.has(row);
      const made = opened.get(row);
      if (made) made.hidden = row.hidden;
    }
    matching.forEach((row, place) => {
      row.classList.toggle('later', place >= limit);
      if (place < limit) buttonOf(row);
      opened.get(row)?.classList.toggle('later', place >= limit);
    });
    const filters = ['text', 'status', 'severity', 'account']
      .filter(choice).map((id) => `${id} ${choice(id)}`).join(', ');
    const count = matching.length === rows.length
      ? counted(rows.length) : `${matching.length} of ${counted(rows.length)} match`;
    const some = matching.length > limit ? `, the first ${limit} shown` : '';
    byId('shown').textContent = count + some;
    byId('more').hidden = matching.length <= limit;
    byId('printed').textContent = filters
      ? `Filtered by ${filters}: ${matching.length} of ${counted(rows.length)} printed.`
      : `${counted(rows.length)}, all printed.`;
  };

  // Sort: a button in every header.
  const collator = new Intl.Collator('en', { numeric: true });
  const headers = Array.from(table.tHead.rows[0].cells);
  const sort = (header) => {
    const column = header.cellIndex;
    const isNumber = 'number' in header.dataset;
    const direction = header.getAttribute('aria-sort') === 'ascending' ? 'descending' : 'ascending';
    const sign = direction === 'ascending' ? 1 : -1;
    const key = (row) => isNumber ? Number(row.cells[column].dataset.key) : row.cells[column].textContent;
    const keys = new Map(rows.map((row) => [row, key(row)]));
    const compare = isNumber ? (one, other) => one - other : collator.compare;
    order = [...order].sort((one, other) => sign * compare(keys.get(one), keys.get(other)));
    for (const other of headers) other.removeAttribute('aria-sort');
    header.setAttribute('aria-sort', direction);
    const all = document.createDocumentFragment();
    for (const row of order) all.append(row, ...(opened.has(row) ? [opened.get(row)] : []));
    body.append(all);
    show();
  };
  for (const header of headers) {
    const button = element('button', header.textContent);
    button.type = 'button';
    button.addEventListener('click', () => sort(header));
    header.replaceChildren(button);
  }

  const filter = byId('filter');
  const again = () => { limit = AT_ONCE; show(); };
  let waiting;
  filter.addEventListener('input', () => { clearTimeout(waiting); waiting = setTimeout(again, 120); });
  filter.addEventListener('reset', () => setTimeout(again));
  filter.addEventListener('submit', (event) => event.preventDefault());
  byId('next').addEventListener('click', () => { limit += AT_ONCE; show(); });
  byId('all').addEventListener('click', () => { limit = Infinity; show(); });

  // Prints the matching findings with their details. If there are too many, only details that are
  // already open.
  let forPrint = [];
  addEventListener('beforeprint', () => {
    if (matching.length > PRINTED_TRAILS) {
      byId('printed').textContent += ` Audit trails are printed for at most ${PRINTED_TRAILS} findings; use the filter to print the others.`;
      return;
    }
    forPrint = matching.filter((row) => !opened.has(row));
    forPrint.forEach(open);
  });
  addEventListener('afterprint', () => { forPrint.forEach(close); forPrint = []; show(); });

  filter.hidden = false;
  show();
})();
