// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.models.graph.Graph;
import dev.crossover.models.graph.Operation;
import dev.crossover.models.graph.Rows;
import dev.crossover.models.graph.Team;
import dev.crossover.models.graph.Value;
import java.util.Arrays;
import java.util.List;

/// The labelled rows only, so that norms, head and loss do not work on others.
final class Gather extends Operation {
  private final Kernels kernels = Kernels.get();
  private final Selection selection;
  private final int width;
  private final Workers.Task take = this::take;
  private final Workers.Task give = this::give;

  private Gather(Graph graph, Value y, Value x, Selection selection) {
    super(graph, y, List.of(x));
    this.selection = selection;
    this.width = x.width();
  }

  static Value add(Graph graph, String name, Value x, Selection selection) {
    Value y = graph.value(name, selection.rows(), 0, x.width(), List.of(x), List.of());
    return graph.add(new Gather(graph, y, x, selection));
  }

  @Override
  protected Reach reach() {
    return Reach.WHOLE;
  }

  @Override
  protected boolean keepsInput(int i) {
    return false;
  }

  @Override
  protected void forward(Team team) {
    Rows rows = selection.rows();
    team.run(rows.blocks(), (long) rows.active() * width, take);
  }

  private void take(int worker, int block) {
    Rows rows = selection.rows();
    int to = Math.min(rows.active(), (block + 1) * rows.block());
    for (int i = block * rows.block(); i < to; i++) {
      int from = selection.source(i) * width;
      System.arraycopy(input(0).data(), from, output().data(), i * width, width);
    }
  }

  @Override
  protected void backward(Team team) {
    Rows rows = input(0).rows();
    team.run(rows.blocks(), (long) rows.active() * width, give);
  }

  private void give(int worker, int block) {
    Rows rows = input(0).rows();
    float[] dx = input(0).gradient();
    float[] dy = output().gradient();
    int to = Math.min(rows.active(), (block + 1) * rows.block());
    for (int r = block * rows.block(); r < to; r++) {
      int at = r * width;
      int i = selection.position(r);
      if (i < 0) {
        if (!adds(0)) {
          Arrays.fill(dx, at, at + width, 0);
        }
      } else if (adds(0)) {
        kernels.add(width, dx, at, dy, i * width, dx, at);
      } else {
        System.arraycopy(dy, i * width, dx, at, width);
      }
    }
  }
}
