'use strict';
(() => {
  /* Charts of what was learned: accuracies on a linear axis, everything else on a logarithmic one. */
  const element = document.getElementById('quality-data');
  if (!element) return;
  const tasks = JSON.parse(element.textContent).tasks;
  const {make, css, colour, dark, digits, seconds, bytes, whole, markerPath, ticks} = window.crossover;
  const share = v => v == null ? '–' : v.toFixed(3);
  const kinds = {
    state: {words: bytes, base: 2, x: 'bytes of state', dots: s => s.state},
    forward: {words: seconds, base: 10, x: 'time per token', timed: true},
    layer: {words: seconds, base: 10, x: 'time per token', timed: true},
    decode: {words: seconds, base: 10, x: 'time per token', timed: true},
    learning: {words: whole, base: 10, x: 'training steps', lines: s => s.learning},
    loss: {words: whole, base: 10, x: 'training steps', lines: s => s.loss, plain: true},
    'length-loss': {words: whole, base: 2, x: 'length of test samples', lines: s => [s['length-loss']], plain: true, guess: true},
    'position-loss': {words: whole, base: 2, x: 'position, the last of a stretch', lines: s => [s['position-loss']], plain: true},
    lengths: {words: whole, base: 2, x: 'length of test samples', lines: s => [s.lengths]}
  };
  const charts = [];
  const draw = (figure, task, name) => {
    const kind = kinds[name], plot = figure.querySelector('.plot');
    const holder = make('div'), tip = make('div', {class: 'tip', role: 'status'});
    plot.replaceChildren(holder, tip);
    let select = null;
    if (kind.timed) {
      select = make('select', {'aria-label': 'length'},
        ...task.lengths[name].map(n => make('option', {value: n}, (name === 'decode' ? 'context ' : 'n = ') + whole(n))));
      select.value = task.chosen[name];
      select.onchange = () => build();
      figure.querySelector('.controls').append(select);
    }
    const at = s => kind.dots ? kind.dots(s)
      : (s[name].find(p => p[0] === Number(select.value)) || [])[1];
    const build = () => {
      tip.style.display = 'none';
      const width = plot.clientWidth, height = Math.max(320, Math.min(400, width * 0.68)) - 4;
      const box = {left: kind.plain ? 58 : 46, right: width - 14, top: 14, bottom: height - 46};
      const svg = make('svg', {width, height, role: 'img', 'aria-label': figure.querySelector('h3').textContent});
      holder.replaceChildren(svg);
      const marks = [], lines = [];
      for (const s of task.series) {
        if (kind.lines) {
          for (const line of kind.lines(s)) {
            const points = line.filter(p => p[0] > 0 && p[1] != null && (!kind.plain || p[1] > 0));
            if (!points.length) continue;
            lines.push({s, points});
            points.forEach(p => marks.push({s, x: p[0], y: p[1], low: p[2], high: p[3]}));
          }
        } else if (at(s) > 0 && s.accuracy != null)
          marks.push({s, x: at(s), y: s.accuracy, low: s.low, high: s.high, dot: true});
      }
      if (!marks.length) {
        svg.append(make('text', {x: width / 2, y: height / 2, 'text-anchor': 'middle'}, 'nothing to show at this length'));
        return;
      }
      const span = values => { const a = Math.min(...values), b = Math.max(...values), pad = Math.max(1.12, (b / a) ** .06); return [a / pad, b * pad]; };
      const [x0, x1] = span(marks.map(m => m.x)), [y0, y1] = kind.plain ? span(marks.map(m => m.y).concat(kind.guess ? [task.guess] : [])) : [-.03, 1.03];
      const px = v => box.left + Math.log(v / x0) / Math.log(x1 / x0) * (box.right - box.left);
      const up = kind.plain ? v => Math.log(v / y0) / Math.log(y1 / y0) : v => (v - y0) / (y1 - y0);
      const py = v => box.bottom - up(v) * (box.bottom - box.top);
      let edge = -1e9;
      for (const v of ticks(kind.base, 1, x0, x1, 6)) {
        svg.append(make('line', {class: 'grid', x1: px(v), x2: px(v), y1: box.top, y2: box.bottom}));
        if (px(v) - edge < 58) continue;
        edge = px(v);
        const last = px(v) + 26 > width;
        svg.append(make('text', {x: last ? width : px(v), y: box.bottom + 18, 'text-anchor': last ? 'end' : 'middle'}, kind.words(v)));
      }
      for (const v of kind.plain ? ticks(10, 1, y0, y1, 6) : [0, .2, .4, .6, .8, 1])
        svg.append(make('line', {class: 'grid', x1: box.left, x2: box.right, y1: py(v), y2: py(v)}),
          make('text', {x: box.left - 8, y: py(v) + 4, 'text-anchor': 'end'}, digits(v)));
      svg.append(make('text', {x: (box.left + box.right) / 2, y: height - 8, 'text-anchor': 'middle'}, kind.x));
      if (kind.guess)
        svg.append(make('line', {x1: box.left, x2: box.right, y1: py(task.guess), y2: py(task.guess), stroke: css('--soft'), 'stroke-dasharray': '2 4'}),
          make('text', {x: box.right, y: py(task.guess) - 5, 'text-anchor': 'end'}, 'even guess'));
      if (!kind.plain)
        svg.append(make('line', {x1: box.left, x2: box.right, y1: py(task.chance), y2: py(task.chance), stroke: css('--soft'), 'stroke-dasharray': '2 4'}),
          make('text', {x: box.right, y: py(task.chance) - 5, 'text-anchor': 'end'}, 'chance'));
      if (!kind.lines) {
        const front = marks.filter(d => !marks.some(o => o.x <= d.x && o.y >= d.y && (o.x < d.x || o.y > d.y))).sort((a, b) => a.x - b.x);
        const steps = front.flatMap((d, i) => i ? [[d.x, front[i - 1].y], [d.x, d.y]] : [[d.x, d.y]]);
        svg.append(make('polyline', {points: steps.map(([x, y]) => px(x) + ',' + py(y)).join(' '), fill: 'none', stroke: css('--soft'), 'stroke-width': 1.4}));
      }
      for (const {s, points} of lines)
        svg.append(make('polyline', {points: points.map(p => px(p[0]) + ',' + py(p[1])).join(' '), fill: 'none', stroke: colour(s), 'stroke-width': s.width, 'stroke-dasharray': s.dash.join(' ')}));
      for (const m of marks) {
        if (m.low != null && m.high != null)
          svg.append(make('line', {x1: px(m.x), x2: px(m.x), y1: py(m.low), y2: py(m.high), stroke: colour(m.s), 'stroke-width': 1.3}));
        const facts = [kind.x + ': ' + kind.words(m.x), kind.plain ? 'loss ' + digits(m.y)
          : 'accuracy ' + (m.dot ? m.s.words : share(m.y) + (m.low != null ? ' (' + share(m.low) + '–' + share(m.high) + ')' : ''))];
        if (m.dot) facts.push(m.s.solved + ' of ' + m.s.seeds + (m.s.seeds === 1 ? ' seed' : ' seeds') + ' solved it', 'state ' + bytes(m.s.state));
        const mark = make('path', {d: markerPath(m.s.marker, px(m.x), py(m.y), m.dot ? 11 : 8), fill: colour(m.s), tabindex: m.dot ? 0 : -1, role: 'img',
          'aria-label': m.s.label + ': ' + facts.join(', ')});
        const show = () => {
          tip.replaceChildren(make('b', {}, m.s.label), ...facts.map(line => make('div', {}, line)));
          tip.style.display = 'block';
          const left = px(m.x) + 16 + tip.offsetWidth > width ? px(m.x) - 16 - tip.offsetWidth : px(m.x) + 16;
          tip.style.left = Math.max(0, Math.min(left, width - tip.offsetWidth)) + 'px';
          tip.style.top = Math.max(0, py(m.y) - tip.offsetHeight / 2) + 'px';
        };
        const hide = () => { tip.style.display = 'none'; };
        mark.addEventListener('pointerenter', show);
        mark.addEventListener('focus', show);
        mark.addEventListener('pointerleave', hide);
        mark.addEventListener('blur', hide);
        svg.append(mark);
      }
    };
    const note = figure.querySelector('.note');
    const legend = task.series.filter(s => kind.lines ? kind.lines(s).some(line => line.length) : kind.timed ? s[name].some(p => p[1] > 0) : at(s) > 0);
    note.replaceChildren(...legend.map(s => {
      const icon = make('svg', {width: 22, height: 12, 'aria-hidden': 'true'},
        make('line', {x1: 0, x2: 22, y1: 6, y2: 6, 'stroke-width': kind.lines ? s.width : 0, 'stroke-dasharray': s.dash.join(' '), stroke: colour(s)}),
        make('path', {d: markerPath(s.marker, 11, 6, 9), fill: colour(s)}));
      return make('span', {class: 'entry'}, icon, s.label);
    }));
    build();
    return build;
  };
  document.querySelectorAll('.chart[data-quality]').forEach(figure => {
    const again = () => {
      figure.querySelector('.controls').replaceChildren();
      return draw(figure, tasks[Number(figure.dataset.task)], figure.dataset.quality);
    };
    charts.push({again, build: again()});
  });
  dark.addEventListener('change', () => charts.forEach(c => { c.build = c.again(); }));
  let width = innerWidth, timer = 0;
  addEventListener('resize', () => {
    if (innerWidth === width) return;
    width = innerWidth;
    clearTimeout(timer);
    timer = setTimeout(() => charts.forEach(c => c.build()), 120);
  });
})();
