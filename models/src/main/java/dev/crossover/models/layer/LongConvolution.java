// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.attention.Workers;
import dev.crossover.models.graph.Graph;
import dev.crossover.models.graph.Operation;
import dev.crossover.models.graph.Parameter;
import dev.crossover.models.graph.Rows;
import dev.crossover.models.graph.Team;
import dev.crossover.models.graph.Value;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// Causal convolution of every channel with a filter as long as the sequence: y_t = Σ_{r ≤ t}
/// filter[t−r] u_r + skip u_t, directly, n²/2 multiply-adds per channel.
///
/// Backward: du_r = Σ_{t ≥ r} filter[t−r] dy_t + skip dy_r, dfilter[l] = Σ_t dy_t u_{t−l}.
final class LongConvolution extends Operation {
  private static final int CHANNELS = 64;

  private final int width;
  private final float[] filter;
  private final float @Nullable [] skip;
  private final float @Nullable [] gradFilter;
  private final float @Nullable [] gradSkip;
  private final int channelBlocks;
  private final Workers.Task apply = this::apply;
  private final Workers.Task input = this::inputGradient;
  private final Workers.Task weights = this::filterGradient;

  private LongConvolution(
      Graph graph, Value y, Value u, Parameter filter, @Nullable Parameter skip) {
    super(graph, y, List.of(u));
    this.width = u.width();
    this.filter = filter.value().data();
    this.skip = skip == null ? null : skip.value().data();
    this.gradFilter = graph.trains(filter) ? filter.gradient().data() : null;
    this.gradSkip = skip != null && graph.trains(skip) ? skip.gradient().data() : null;
    this.channelBlocks = Math.ceilDiv(width, CHANNELS);
  }

  static Value add(
      Graph graph,
      String name,
      Value u,
      Parameter filter,
      @Nullable Parameter skip,
      @Nullable Decoding decoding) {
    int length = decoding == null ? u.rows().length() : decoding.longest();
    if (filter.value().extent(0) < length || filter.value().extent(1) != u.width()) {
      throw new IllegalArgumentException(
          filter.name()
              + " must hold at least "
              + length
              + " taps of "
              + u.width()
              + " channels, but was "
              + filter.value());
    }
    List<@Nullable Parameter> used = Arrays.asList(filter, skip);
    Value y = graph.value(name, u.rows(), 0, u.width(), List.of(u), used);
    return graph.add(
        decoding == null
            ? new LongConvolution(graph, y, u, filter, skip)
            : new Step(graph, y, u, filter, skip, decoding));
  }

  @Override
  protected Reach reach() {
    return Reach.WHOLE;
  }

  private long total() {
    Rows rows = output().rows();
    return (long) rows.capacity() * rows.length() * width / 2;
  }

  @Override
  protected void forward(Team team) {
    team.run(output().rows().sequences() * channelBlocks, total(), apply);
  }

  @Override
  protected void backward(Team team) {
    if (wants(0)) {
      team.run(output().rows().sequences() * channelBlocks, total(), input);
    }
    if (gradFilter != null || gradSkip != null) {
      team.run(channelBlocks, total(), weights);
    }
  }

  private void apply(int worker, int index) {
    int n = output().rows().length();
    int base = index / channelBlocks * n;
    int channel = index % channelBlocks * CHANNELS;
    int count = Math.min(CHANNELS, width - channel);
    float[] u = input(0).data();
    float[] y = output().data();
    for (int t = 0; t < n; t++) {
      int at = (base + t) * width + channel;
      skipped(u, at, y, at, channel, count, false);
      for (int r = 0; r <= t; r++) {
        ShortConvolution.addProducts(
            count, filter, (t - r) * width + channel, u, (base + r) * width + channel, y, at);
      }
    }
  }

  private void inputGradient(int worker, int index) {
    int n = output().rows().length();
    int base = index / channelBlocks * n;
    int channel = index % channelBlocks * CHANNELS;
    int count = Math.min(CHANNELS, width - channel);
    float[] du = input(0).gradient();
    float[] dy = output().gradient();
    for (int r = 0; r < n; r++) {
      int at = (base + r) * width + channel;
      skipped(dy, at, du, at, channel, count, adds(0));
      for (int t = r; t < n; t++) {
        ShortConvolution.addProducts(
            count, filter, (t - r) * width + channel, dy, (base + t) * width + channel, du, at);
      }
    }
  }

  /// Starts a row with the skip, or adds it.
  private void skipped(
      float[] from, int fo, float[] to, int at, int channel, int count, boolean add) {
    for (int c = 0; c < count; c++) {
      float through = skip == null ? 0 : skip[channel + c] * from[fo + c];
      to[at + c] = add ? to[at + c] + through : through;
    }
  }

  /// One block of channels, over all sequences in their order.
  private void filterGradient(int worker, int index) {
    Rows rows = output().rows();
    int n = rows.length();
    int channel = index * CHANNELS;
    int count = Math.min(CHANNELS, width - channel);
    float[] u = input(0).data();
    float[] dy = output().gradient();
    for (int row = 0; row < rows.capacity(); row++) {
      int at = row * width + channel;
      if (gradSkip != null) {
        ShortConvolution.addProducts(count, dy, at, u, at, gradSkip, channel);
      }
      for (int lag = 0; lag <= row % n && gradFilter != null; lag++) {
        ShortConvolution.addProducts(
            count, dy, at, u, at - lag * width, gradFilter, lag * width + channel);
      }
    }
  }

  /// Decoding: all rows are the state.
  private static final class Step extends History {
    private final float[] filter;
    private final float @Nullable [] skip;

    Step(
        Graph graph,
        Value y,
        Value u,
        Parameter filter,
        @Nullable Parameter skip,
        Decoding decoding) {
      super(graph, y, u, decoding.longest(), decoding);
      this.filter = filter.value().data();
      this.skip = skip == null ? null : skip.value().data();
    }

    @Override
    void row(int sequence, float[] y) {
      int at = sequence * width;
      Arrays.fill(y, at, at + width, 0);
      if (skip != null) {
        ShortConvolution.addProducts(width, skip, 0, rows(), at(sequence, 0), y, at);
      }
      for (int back = 0; back <= position(); back++) {
        ShortConvolution.addProducts(
            width, filter, back * width, rows(), at(sequence, back), y, at);
      }
    }
  }
}
