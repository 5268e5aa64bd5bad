'use strict';
(() => {
  const panels = JSON.parse(document.getElementById('data').textContent).panels;
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const colour = s => dark.matches ? s.dark : s.light;
  const make = (tag, attributes = {}, ...children) => {
    const element = tag === 'svg' || make.svg.has(tag)
      ? document.createElementNS('http://www.w3.org/2000/svg', tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };
  make.svg = new Set(['path', 'line', 'text', 'g', 'polyline', 'rect']);

  /* Words for numbers: the same rules as in the tables. */
  const digits = v => v == null ? '–' : Math.abs(v) >= 1000 ? Math.round(v).toLocaleString('en-US')
    : Number(v.toPrecision(3)).toString();
  const scaled = (v, step, units) => {
    let i = 0;
    while (v >= step * 0.9995 && i < units.length - 1) { v /= step; i++; }
    return digits(v) + ' ' + units[i];
  };
  const seconds = v => v == null ? '–' : scaled(v * 1e9, 1000, ['ns', 'µs', 'ms', 's']);
  const bytes = v => v == null ? '–' : scaled(v, 1024, ['B', 'KiB', 'MiB', 'GiB', 'TiB']);
  const percent = v => v == null ? '–' : v !== 0 && v < 1e-4 ? (v * 100).toExponential(0) + ' %'
    : Number((v * 100).toPrecision(2)).toLocaleString('en-US') + ' %';
  const whole = v => Math.round(v).toLocaleString('en-US');

  /* Markers: unit shapes around the origin, as in the static figures. */
  const corners = (count, start, outer, inner) => Array.from({length: count}, (_, i) => {
    const a = start + 2 * Math.PI * i / count, r = i % 2 ? inner : outer;
    return [r * Math.cos(a), r * Math.sin(a)];
  });
  const cross = angle => [[-.17, -.62], [.17, -.62], [.17, -.17], [.62, -.17], [.62, .17], [.17, .17],
    [.17, .62], [-.17, .62], [-.17, .17], [-.62, .17], [-.62, -.17], [-.17, -.17]]
    .map(([x, y]) => [x * Math.cos(angle) - y * Math.sin(angle), x * Math.sin(angle) + y * Math.cos(angle)]);
  const shapes = {
    circle: corners(24, 0, .5, .5), square: corners(4, Math.PI / 4, .62, .62),
    diamond: corners(4, 0, .66, .66), triangle: corners(3, -Math.PI / 2, .66, .66),
    wedge: corners(3, Math.PI / 2, .66, .66), pentagon: corners(5, -Math.PI / 2, .58, .58),
    plus: cross(0), cross: cross(Math.PI / 4), star: corners(10, -Math.PI / 2, .7, .3)
  };
  const markerPath = (marker, x, y, size) => 'M' + (shapes[marker] || shapes.circle)
    .map(([a, b]) => (x + a * size).toFixed(2) + ' ' + (y + b * size).toFixed(2)).join('L') + 'Z';

  /* Ticks: every power of two, thinned to fit; or decades, with 2 and 5 where there is room. */
  const ticks = (base, unit, low, high, room) => {
    const from = Math.log(low / unit) / Math.log(base), to = Math.log(high / unit) / Math.log(base);
    const out = [];
    if (base === 10 && to - from < 3.4) {
      for (let e = Math.floor(from); e <= to; e++)
        for (const m of [1, 2, 5]) { const v = m * 10 ** e * unit; if (v >= low && v <= high) out.push(v); }
      if (out.length > 1 && out.length <= room + 2) return out;
      out.length = 0;
    }
    const stride = Math.max(1, Math.ceil((to - from) / Math.max(2, room)));
    for (let e = Math.ceil(from - 1e-9); e <= to + 1e-9; e++)
      if (e % stride === 0) out.push(unit * base ** e);
    return out.length ? out : [Math.sqrt(low * high)];
  };

  window.crossover = {make, css, colour, dark, digits, seconds, bytes, whole, markerPath, ticks};

  /* Charts over lengths come with the data: which value of a series, its interval, its unit. */
  const units = {seconds: [seconds, 10], bytes: [bytes, 2], share: [percent, 10]};
  const memoryKinds = [['counted_bytes', 'counted'], ['allocated_bytes', 'allocated per call'], ['resident_bytes', 'peak resident']];
  const column = (s, key) => key && s.values[key] || [];
  const at = (s, key, i) => column(s, key)[i];
  const positive = v => v > 0 ? v : null;

  const facts = (panel, s, i) => {
    const lines = [], value = key => at(s, key, i);
    const forks = value('forks');
    if (value('seconds') != null) {
      lines.push(seconds(value('seconds')) + ' (' + seconds(value('seconds_low')) + ' – ' + seconds(value('seconds_high')) + ')');
      lines.push(forks + (forks === 1 ? ' fork, ' : ' forks, ') + value('samples') + ' samples');
      if (panel.decoding) lines.push(digits(value('tokens_per_second')) + ' tokens/s');
    }
    if (s.kind === 'none') lines.push('no error: approximates nothing');
    else if (value('relative_error') != null) {
      const low = value('relative_error_low'), high = value('relative_error_high');
      lines.push(panel.errorWord + ' ' + percent(value('relative_error'))
        + (high > low ? ' (' + percent(low) + ' – ' + percent(high) + ')' : ''));
    } else if (!(s.kind === 'exact')) lines.push(panel.errorWord + ' not measured');
    lines.push(panel.bytesWord + ' ' + bytes(value(panel.memory)));
    if (!panel.decoding && value('gflops') != null)
      lines.push(digits(value('gflops')) + ' GFLOP/s'
        + (value('share_of_peak') != null ? ', ' + percent(value('share_of_peak')) + ' of peak' : ''));
    if (s.disturbed[i]) lines.push('disturbed: ' + s.disturbed[i]);
    return lines;
  };
  const showTip = (tip, panel, s, i, x, y, width) => {
    tip.replaceChildren(make('b', {}, s.label),
      make('div', {}, panel.at + whole(s.n[i])),
      ...facts(panel, s, i).map(line => make('div', {}, line)));
    tip.style.display = 'block';
    const left = x + 16 + tip.offsetWidth > width ? x - 16 - tip.offsetWidth : x + 16;
    tip.style.left = Math.max(0, Math.min(left, width - tip.offsetWidth)) + 'px';
    tip.style.top = Math.max(0, y - tip.offsetHeight / 2) + 'px';
  };

  const parts = plot => {
    const figure = plot.closest('.chart'), holder = make('div'), tip = make('div', {class: 'tip', role: 'status'});
    plot.replaceChildren(holder, tip);
    return {controls: figure.querySelector('.controls'), note: figure.querySelector('.note'), holder, tip};
  };

  /* One chart over sequence length, drawn by uPlot. */
  const lineChart = (plot, panel, hidden, kind) => {
    const spec = {...panel.charts[kind]};
    const [words, base] = units[spec.unit] || [digits, 10];
    let chart = null, focused = null;
    const {controls, holder, tip, note: noteElement} = parts(plot);
    const reset = make('button', {type: 'button', hidden: ''}, 'reset zoom');
    reset.onclick = () => { build(); reset.hidden = true; };
    controls.append(reset);
    if (kind === 'memory') {
      const buttons = memoryKinds.filter(([key]) => panel.series.some(s => column(s, key).some(v => v > 0)))
        .map(([key, label]) => {
          const button = make('button', {type: 'button', 'aria-pressed': key === spec.y}, label);
          button.onclick = () => {
            spec.y = key;
            buttons.forEach(b => b.setAttribute('aria-pressed', b === button));
            build();
          };
          return button;
        });
      controls.append(...buttons);
    }
    const shown = panel.series.map((s, i) => ({s, i})).filter(({s}) => !spec.inexactOnly || s.kind === 'softmax')
      .filter(({s}) => column(s, spec.y).some(v => v > 0));
    const lengths = panel.lengths;
    const shownSpec = spec => !panel.series.some((s, i) => s.spec === spec && hidden.has(i));
    const hollow = spec.hollow ? panel.unsteady.filter(p => p.values[spec.y] > 0) : [];
    const spread = (s, key) => {
      const values = column(s, key), byLength = new Map(s.n.map((n, i) => [n, positive(values[i])]));
      return lengths.map(n => byLength.get(n) ?? null);
    };
    const build = () => {
      if (chart) chart.destroy();
      focused = null;
      tip.style.display = 'none';
      tell();
      const withPeak = spec.guide && panel.peakN;
      const extra = withPeak ? [lengths.map(n => {
        const i = panel.peakN.indexOf(n); return i < 0 ? null : positive(panel.peakT[i]);
      })] : [];
      const data = [lengths, ...shown.map(({s}) => spread(s, spec.y)), ...extra];
      const lows = shown.map(({s}) => spread(s, spec.low)), highs = shown.map(({s}) => spread(s, spec.high));
      const grid = {stroke: css('--line'), width: 1}, soft = css('--soft');
      const font = '12px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';
      const width = plot.clientWidth, height = Math.max(320, Math.min(400, width * 0.68));
      const range = (u, min, max) => {
        if (min == null || !(min > 0)) return [1e-9, 1];
        let low = min, high = max;
        shown.forEach(({i}, k) => hidden.has(i) || data[k + 1].forEach((v, j) => {
          if (v == null || v < min || v > max) return;
          low = Math.min(low, lows[k][j] ?? v);
          high = Math.max(high, highs[k][j] ?? v);
        }));
        if (reset.hidden) hollow.filter(p => shownSpec(p.spec)).forEach(p => {
          low = Math.min(low, p.values[spec.y]);
          high = Math.max(high, p.values[spec.y]);
        });
        const pad = Math.max(1.25, (high / low) ** .05);
        return [low / pad, high * pad];
      };
      const drawMarks = u => {
        const ctx = u.ctx, ratio = devicePixelRatio || 1;
        ctx.save();
        ctx.beginPath(); ctx.rect(u.bbox.left - 6, u.bbox.top - 6, u.bbox.width + 12, u.bbox.height + 12); ctx.clip();
        shown.forEach(({s, i}, k) => {
          if (hidden.has(i)) return;
          ctx.globalAlpha = focused == null || focused === k + 1 ? 1 : .2;
          ctx.strokeStyle = ctx.fillStyle = colour(s);
          data[k + 1].forEach((v, j) => {
            if (v == null) return;
            const x = u.valToPos(lengths[j], 'x', true), y = u.valToPos(v, 'y', true);
            if (lows[k][j] != null && highs[k][j] != null) {
              const a = u.valToPos(lows[k][j], 'y', true), b = u.valToPos(highs[k][j], 'y', true), cap = 4 * ratio;
              ctx.lineWidth = 1.3 * ratio;
              ctx.beginPath(); ctx.moveTo(x, a); ctx.lineTo(x, b);
              if (Math.abs(a - b) > 6 * ratio) { ctx.moveTo(x - cap, a); ctx.lineTo(x + cap, a); ctx.moveTo(x - cap, b); ctx.lineTo(x + cap, b); }
              ctx.stroke();
            }
            ctx.fill(new Path2D(markerPath(s.marker, x, y, 8 * ratio)));
          });
        });
        ctx.globalAlpha = 1;
        hollow.filter(p => shownSpec(p.spec)).forEach(p => {
          ctx.strokeStyle = colour(p);
          ctx.lineWidth = 1.5 * ratio;
          const x = u.valToPos(p.n, 'x', true), y = u.valToPos(p.values[spec.y], 'y', true);
          ctx.stroke(new Path2D(markerPath(p.marker, x, y, 8 * ratio)));
        });
        ctx.restore();
      };
      const hover = u => {
        const {left, top, idx} = u.cursor;
        if (idx == null || left < 0 || focused == null || focused > shown.length || data[focused][idx] == null) {
          tip.style.display = 'none';
          return;
        }
        const {s} = shown[focused - 1];
        const x = u.valToPos(lengths[idx], 'x') + u.over.offsetLeft;
        const y = u.valToPos(data[focused][idx], 'y') + u.over.offsetTop;
        showTip(tip, panel, s, s.n.indexOf(lengths[idx]), x, y, plot.clientWidth);
      };
      chart = new uPlot({
        width, height, padding: [10, 14, 0, 0], legend: {show: false},
        cursor: {drag: {x: true, y: true, uni: 24}, focus: {prox: 28}, points: {show: false}, x: true, y: false},
        focus: {alpha: .2},
        scales: {
          x: {time: false, distr: 3, log: 2, range: (u, min, max) => [min / 1.12, max * 1.12]},
          y: {distr: 3, log: base, range}
        },
        axes: [
          {stroke: soft, grid, font, ticks: grid, space: 40, size: 46, label: panel.length, labelFont: font, labelSize: 18,
            splits: (u, a, min, max) => ticks(2, 1, min, max, u.bbox.width / (devicePixelRatio || 1) / 52), values: (u, v) => v.map(whole), filter: (u, v) => v},
          {stroke: soft, grid, font, ticks: grid, size: 70,
            splits: (u, a, min, max) => ticks(base, 1, min, max, 8), values: (u, v) => v.map(words), filter: (u, v) => v}
        ],
        series: [{}, ...shown.map(({s, i}) => ({
          label: s.label, stroke: () => colour(s), width: s.width, dash: s.dash, spanGaps: true,
          show: !hidden.has(i), points: {show: false}
        })), ...extra.map(() => ({label: 'peak', stroke: soft, width: 1.2, dash: [2, 4], points: {show: false}}))],
        hooks: {
          draw: [drawMarks],
          setSeries: [(u, k) => { focused = k; hover(u); }],
          setCursor: [hover],
          setSelect: [u => { if (u.select.width > 4 || u.select.height > 4) reset.hidden = false; }]
        }
      }, data, holder);
      chart.over.addEventListener('dblclick', () => { reset.hidden = true; });
    };
    const sync = () => shown.forEach(({i}, k) => {
      if (chart && chart.series[k + 1].show === hidden.has(i)) chart.setSeries(k + 1, {show: !hidden.has(i)});
    });
    const tell = () => {
      const note = [];
      if (spec.inexactOnly) {
        const none = panel.series.filter(s => s.kind === 'none').map(s => s.label);
        if (none.length) note.push('Approximates nothing, so has no error: ' + none.join('; ') + '.');
      }
      if (hollow.length) note.push('Hollow: not steady when measured, no result; the same command measures again.');
      if (spec.guide && panel.peakN) note.push('Dotted: tiled’s counted work at the measured peak, ' + panel.peakLabel + '.');
      const zero = panel.series.filter(s => (!spec.inexactOnly || s.kind === 'softmax') && column(s, spec.y).some(v => v === 0));
      if (zero.length) note.push('Zero at some lengths, which a logarithmic axis does not have: ' + zero.map(s => s.label).join('; ') + '.');
      noteElement.textContent = note.join(' ');
    };
    return {build, sync, chart: () => chart};
  };

  /* Error against a cost, or GFLOP/s against intensity: a small SVG. */
  const scatter = (plot, panel, hidden, kind) => {
    const roofline = kind === 'roofline';
    const costKey = kind === 'pareto-memory' ? 'counted_bytes' : 'seconds';
    const xWords = roofline ? digits : costKey === 'seconds' ? seconds : bytes;
    const {controls, holder, tip} = parts(plot);
    const select = make('select', {'aria-label': 'length'},
      ...panel.lengths.map(n => make('option', {value: n}, (panel.decoding ? 'context ' : 'n = ') + whole(n))));
    select.value = panel.frontAt;
    select.onchange = () => build();
    controls.append(select);
    const build = () => {
      tip.style.display = 'none';
      const n = Number(select.value);
      const dots = [], walls = [];
      panel.series.forEach((s, id) => {
        const i = s.n.indexOf(n);
        if (i < 0 || hidden.has(id)) return;
        const x = at(s, roofline ? 'intensity' : costKey, i);
        const y = at(s, roofline ? 'gflops' : 'relative_error', i);
        if (!roofline && s.kind === 'exact') { if (s.baseline && x > 0) walls.push({s, x}); return; }
        if (x > 0 && y > 0) dots.push({s, i, x, y});
      });
      const width = plot.clientWidth, height = Math.max(320, Math.min(400, width * 0.68)) - 4;
      const box = {left: 70, right: width - 14, top: roofline ? 22 : 18 + 15 * walls.length, bottom: height - 46};
      const svg = make('svg', {width, height, role: 'img', 'aria-label': plot.closest('.chart').querySelector('h3').textContent});
      holder.replaceChildren(svg);
      const xs = dots.map(d => d.x).concat(walls.map(w => w.x)), ys = dots.map(d => d.y);
      const ridge = roofline && panel.peak && panel.bandwidth ? panel.peak / panel.bandwidth : null;
      if (ridge) { xs.push(ridge); ys.push(panel.peak); }
      if (!dots.length) {
        svg.append(make('text', {x: width / 2, y: height / 2, 'text-anchor': 'middle'}, 'nothing to show at this length'));
        return;
      }
      const span = values => { const a = Math.min(...values), b = Math.max(...values), pad = Math.max(1.25, (b / a) ** .06); return [a / pad, b * pad]; };
      const [x0, x1] = span(xs), [y0, y1] = span(ys);
      const px = v => box.left + Math.log(v / x0) / Math.log(x1 / x0) * (box.right - box.left);
      const py = v => box.bottom - Math.log(v / y0) / Math.log(y1 / y0) * (box.bottom - box.top);
      const xBase = costKey === 'counted_bytes' && !roofline ? 2 : 10;
      let edge = -1e9;
      for (const v of ticks(xBase, 1, x0, x1, 6)) {
        svg.append(make('line', {class: 'grid', x1: px(v), x2: px(v), y1: box.top, y2: box.bottom}));
        if (px(v) - edge < 58) continue;
        edge = px(v);
        const last = px(v) + 26 > width;
        svg.append(make('text', {x: last ? width : px(v), y: box.bottom + 18, 'text-anchor': last ? 'end' : 'middle'}, xWords(v)));
      }
      for (const v of ticks(10, 1, y0, y1, 6)) {
        svg.append(make('line', {class: 'grid', x1: box.left, x2: box.right, y1: py(v), y2: py(v)}),
          make('text', {x: box.left - 8, y: py(v) + 4, 'text-anchor': 'end'}, roofline ? digits(v) : percent(v)));
      }
      svg.append(make('text', {x: (box.left + box.right) / 2, y: height - 8, 'text-anchor': 'middle'},
        roofline ? 'counted FLOPs per counted byte' : costKey === 'seconds' ? 'time' : 'counted memory'));
      svg.append(make('text', {class: 'unit', x: 2, y: 12}, roofline ? 'GFLOP/s' : 'error'));
      if (ridge) {
        const line = [[x0, x0 * panel.bandwidth], [ridge, panel.peak], [x1, panel.peak]]
          .map(([x, y]) => px(x) + ',' + Math.min(box.bottom, py(Math.max(y, y0)))).join(' ');
        svg.append(make('polyline', {points: line, fill: 'none', stroke: css('--soft'), 'stroke-width': 1.4}),
          make('text', {x: box.right, y: py(panel.peak) - 6, 'text-anchor': 'end'},
            digits(panel.peak) + ' GFLOP/s, ' + digits(panel.bandwidth) + ' GB/s'));
      }
      for (const {s, x} of walls) {
        const right = px(x) > (box.left + box.right) / 2;
        const above = 14 + 15 * walls.findIndex(w => w.s === s);
        svg.append(make('line', {x1: px(x), x2: px(x), y1: above - 10, y2: box.bottom, stroke: colour(s), 'stroke-width': 1.6, 'stroke-dasharray': '2 4'}),
          make('text', {x: px(x) + (right ? -6 : 6), y: above, 'text-anchor': right ? 'end' : 'start'}, s.spec.split(':')[0] + ' (exact)'));
      }
      if (!roofline) {
        const exact = Math.min(...panel.series.filter(s => s.kind === 'exact').map(s => at(s, costKey, s.n.indexOf(n))).filter(x => x > 0));
        const front = dots.filter(d => d.x < exact && !dots.some(o => o.x <= d.x && o.y <= d.y && (o.x < d.x || o.y < d.y))).sort((a, b) => a.x - b.x);
        const steps = front.flatMap((d, i) => i ? [[d.x, front[i - 1].y], [d.x, d.y]] : [[d.x, d.y]]);
        if (front.length && exact < x1) steps.push([exact, front.at(-1).y], [exact, y0]);
        svg.append(make('polyline', {points: steps.map(([x, y]) => px(x) + ',' + py(y)).join(' '), fill: 'none', stroke: css('--soft'), 'stroke-width': 1.4}));
      }
      for (const d of dots) {
        const mark = make('path', {d: markerPath(d.s.marker, px(d.x), py(d.y), 11), fill: colour(d.s), tabindex: 0, role: 'img',
          'aria-label': d.s.label + ': ' + facts(panel, d.s, d.i).join(', ')});
        const show = () => showTip(tip, panel, d.s, d.i, px(d.x), py(d.y), width);
        mark.addEventListener('pointerenter', show);
        mark.addEventListener('focus', show);
        mark.addEventListener('pointerleave', () => { tip.style.display = 'none'; });
        mark.addEventListener('blur', () => { tip.style.display = 'none'; });
        svg.append(mark);
      }
    };
    return {build, sync: build};
  };

  /* Panels: chips switch mechanisms in all charts of their panel. */
  const charts = [];
  panels.forEach((panel, number) => {
    const hidden = new Set();
    const chips = document.querySelector('.chips[data-panel="' + number + '"]');
    const own = [];
    const refresh = () => {
      buttons.forEach((b, i) => b.setAttribute('aria-pressed', !hidden.has(i)));
      own.forEach(c => c.sync());
    };
    const buttons = panel.series.map((s, i) => {
      const icon = make('svg', {width: 22, height: 12, 'aria-hidden': 'true'},
        make('line', {x1: 0, x2: 22, y1: 6, y2: 6, 'stroke-width': s.width, 'stroke-dasharray': s.dash.join(' ')}),
        make('path', {d: markerPath(s.marker, 11, 6, 9)}));
      const paint = () => { icon.setAttribute('stroke', colour(s)); icon.lastChild.setAttribute('stroke', 'none'); icon.lastChild.setAttribute('fill', colour(s)); };
      paint();
      dark.addEventListener('change', paint);
      const button = make('button', {type: 'button', class: 'chip', 'aria-pressed': true, title: s.spec + (s.slope ? ' · time grows as ' + s.slope : '')}, icon, make('span', {}, s.label));
      button.onclick = event => {
        if (event.altKey || event.shiftKey) panel.series.forEach((_, k) => k === i ? hidden.delete(k) : hidden.add(k));
        else if (!hidden.delete(i)) hidden.add(i);
        refresh();
      };
      return button;
    });
    if (chips) {
      const all = make('button', {type: 'button', class: 'chip plain'}, 'all');
      all.onclick = () => { hidden.clear(); refresh(); };
      const few = make('button', {type: 'button', class: 'chip plain'}, 'baselines only');
      few.onclick = () => { panel.series.forEach((s, i) => s.baseline ? hidden.delete(i) : hidden.add(i)); refresh(); };
      chips.append(...buttons, all, few);
      chips.classList.toggle('high', chips.offsetHeight > 130);
    }
    document.querySelectorAll('.chart[data-panel="' + number + '"]').forEach(figure => {
      const plot = figure.querySelector('.plot'), kind = figure.dataset.chart;
      const chart = (panel.charts[kind] ? lineChart : scatter)(plot, panel, hidden, kind);
      own.push(chart);
      charts.push({chart, plot, built: false});
    });
  });
  const observer = new IntersectionObserver(entries => {
    for (const entry of entries) if (entry.isIntersecting) {
      const item = charts.find(c => c.plot === entry.target);
      if (item) build(item);
    }
  }, {rootMargin: '600px'});
  const build = item => { if (!item.built) { item.built = true; item.chart.build(); } };
  const near = c => c.plot.offsetWidth && c.plot.getBoundingClientRect().top < innerHeight + 600;
  charts.forEach(c => near(c) ? build(c) : observer.observe(c.plot));
  addEventListener('beforeprint', () => charts.filter(c => c.plot.offsetWidth).forEach(build));
  const rebuild = () => charts.forEach(c => c.built && c.chart.build());
  dark.addEventListener('change', rebuild);
  let width = innerWidth, timer = 0;
  addEventListener('resize', () => {
    if (innerWidth === width) return;
    width = innerWidth;
    clearTimeout(timer);
    timer = setTimeout(rebuild, 120);
  });

  /* Phase diagrams: markers beside colours, and the cell that was chosen in words. */
  const marked = element => make('svg', {viewBox: '-5 -5 10 10', 'aria-hidden': 'true'},
    make('path', {d: markerPath(element.dataset.marker, 0, 0, 9)}));
  document.querySelectorAll('.swatch[data-marker]').forEach(swatch => swatch.append(marked(swatch)));
  document.querySelectorAll('.phase').forEach(phase => {
    const told = phase.querySelector('.told'), cells = [...phase.querySelectorAll('.cell')];
    const tell = cell => {
      cells.forEach(c => c.setAttribute('aria-expanded', c === cell));
      told.replaceChildren(...[...cell.querySelector('.more').children].map(part => part.cloneNode(true)));
    };
    cells.forEach((cell, index) => {
      if (cell.dataset.marker) cell.querySelector('.in b').prepend(marked(cell));
      cell.onclick = () => tell(cell);
      cell.onfocus = () => tell(cell);
      cell.onpointerenter = event => { if (event.pointerType === 'mouse') tell(cell); };
      cell.onkeydown = event => {
        const across = phase.querySelectorAll('tfoot th').length - 1;
        const step = {ArrowRight: 1, ArrowLeft: -1, ArrowDown: across, ArrowUp: -across}[event.key];
        if (step && cells[index + step]) { event.preventDefault(); cells[index + step].focus(); }
      };
    });
    if (cells.length) tell(cells.find(c => !c.matches('.exact, .missing')) || cells[0]);
  });

  /* Tables sort by the heading that was clicked; absent values stay last. */
  document.querySelectorAll('table.sortable').forEach(table => {
    const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
    heads.forEach((head, index) => {
      head.tabIndex = 0;
      const sort = () => {
        const up = head.getAttribute('aria-sort') !== 'ascending', number = head.classList.contains('number');
        heads.forEach(h => h.removeAttribute('aria-sort'));
        head.setAttribute('aria-sort', up ? 'ascending' : 'descending');
        const value = row => row.cells[index].dataset.value;
        const rows = [...body.rows].sort((a, b) => {
          const x = value(a), y = value(b);
          if (x === '' || y === '') return (x === '') - (y === '');
          return (up ? 1 : -1) * (number ? x - y : x.localeCompare(y));
        });
        body.append(...rows);
      };
      head.addEventListener('click', sort);
      head.addEventListener('keydown', e => { if (e.key === 'Enter' || e.key === ' ') { e.preventDefault(); sort(); } });
    });
  });
})();
