// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.linear;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.BoundTensors;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.Workers;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/// The forward pass of linear attention, with or without keeping what a backward pass needs.
///
/// | stage       | parallel over                   | without causal order       | causal             |
/// |-------------|---------------------------------|----------------------------|--------------------|
/// | prepare     | what the feature map says       | reads ahead                | reads ahead        |
/// | accumulate  | batch, key/value head, segment  | partial S, z               | all but the last segment |
/// | combine     | batch, key/value head           | running sums over segments, in order | the same |
/// | attend      | batch, head, segment            | reads the total            | chunk after chunk from the sums before |
final class LinearForward {
  private final AttentionShape shape;
  private final Workers workers;
  private final FeatureMap map;
  private final boolean causal;
  private final int keyHeads;
  private final Segments keySegments;
  private final Segments querySegments;
  private final int offset;
  private final LinearState[][] states;
  private final LinearChunk[] chunks;
  private final Workers.Task prepare = this::prepare;
  private final Workers.Task accumulate = this::accumulate;
  private final Workers.Task combine = this::combine;
  private final Workers.Task attend = this::attend;
  private final Workers.Task attendCausally = this::attendCausally;
  private final Workers.Task finish = this::finish;
  private final @Nullable LinearKept kept;
  private @Nullable BoundTensors inputs;
  private float @Nullable [] lastState;
  private float @Nullable [] lastNormaliser;
  private float[] q = new float[0];
  private float[] k = new float[0];
  private float[] v = new float[0];
  private float[] out = new float[0];

  /// @param site sizes, mask, threads and the allocator of all scratch
  /// @param form feature maps and denominator
  /// @param kept allocator of what the backward pass needs; absent without one
  LinearForward(FeatureSite site, Workers workers, LinearForm form, @Nullable Scratch kept) {
    this.shape = site.shape();
    this.workers = workers;
    keyHeads = shape.batchSize() * shape.numKeyValueHeads();
    causal = site.mask().isCausal();
    map = form.features().create(site);
    offset = causal ? Segments.offset(shape, site.mask()) : 0;
    keySegments = Segments.ofKeys(shape, site.mask());
    querySegments = Segments.ofQueries(shape);
    states = new LinearState[keyHeads][statesPerHead(keySegments, causal)];
    for (LinearState[] head : states) {
      for (int s = 0; s < head.length; s++) {
        head[s] = new LinearState(site.scratch(), map, shape.valueDim(), shape.keySeqLen());
      }
    }
    this.kept = kept == null ? null : new LinearKept(kept, shape, site.mask(), map);
    chunks = new LinearChunk[site.threads()];
    for (int t = 0; t < chunks.length; t++) {
      chunks[t] = new LinearChunk(site, form, map, t);
      if (this.kept != null) {
        chunks[t].keep(this.kept.weights);
      }
    }
  }

  /// The feature maps, which the backward pass shares.
  FeatureMap map() {
    return map;
  }

  /// What the backward pass needs.
  LinearKept kept() {
    return Objects.requireNonNull(kept);
  }

  /// State 0 holds the sums before the sequence, state s + 1 those up to segment s; the causal form
  /// adds each segment to the state before it while it goes along.
  static int statesPerHead(Segments segments, boolean causal) {
    return causal ? segments.count() : segments.count() + 1;
  }

  /// Writes every element of `output`, and the final sums where a place for them is given.
  void run(
      BoundTensors boundInputs,
      float[] output,
      float @Nullable [] finalState,
      float @Nullable [] finalNormaliser) {
    inputs = boundInputs;
    q = inputs.get("q");
    k = inputs.get("k");
    v = inputs.get("v");
    out = output;
    lastState = finalState;
    lastNormaliser = finalNormaliser;
    map.begin(inputs);
    workers.run(map.preparations(), prepare);
    workers.run(keyHeads * (states[0].length - 1), accumulate);
    workers.run(keyHeads, combine);
    if (causal) {
      workers.run(keyHeads * keySegments.count(), attendCausally);
    } else {
      workers.run(shape.problems() * querySegments.count(), attend);
    }
    workers.run(keyHeads, finish);
  }

  private void prepare(int worker, int task) {
    map.prepare(worker, task);
  }

  /// Partial sums over one segment's keys.
  private void accumulate(int worker, int index) {
    int partial = states[0].length - 1;
    int keyHead = index / partial;
    int segment = index % partial;
    LinearState state = states[keyHead][segment + 1];
    state.clear();
    for (int t = keySegments.start(segment); t < keySegments.end(segment); t += Segments.CHUNK) {
      keys(worker, state, keyHead, t, keySegments.end(segment));
      chunks[worker].absorb(state);
    }
  }

  /// Running sums over the segments, first to last.
  private void combine(int worker, int keyHead) {
    LinearState[] head = states[keyHead];
    head[0].clear();
    BoundTensors given = Objects.requireNonNull(inputs);
    if (given.has("initial_state")) {
      int width = map.width();
      head[0].load(
          given.get("initial_state"), keyHead * width * shape.valueDim(),
          given.get("initial_normaliser"), keyHead * width);
    }
    for (int s = 1; s < head.length; s++) {
      head[s].prepend(head[s - 1]);
    }
    if (kept != null && !causal) {
      kept.store(keyHead, 0, 0, head[head.length - 1]);
    }
  }

  /// Outputs of one segment of queries from the total.
  private void attend(int worker, int index) {
    int problem = index / querySegments.count();
    int segment = index % querySegments.count();
    int batch = problem / shape.numHeads();
    int h = problem % shape.numHeads();
    LinearState total = last(batch * shape.numKeyValueHeads() + h / shape.groupSize());
    LinearChunk chunk = chunks[worker];
    int end = querySegments.end(segment);
    for (int i = querySegments.start(segment); i < end; i += Segments.CHUNK) {
      chunk.noKeys(total);
      queries(chunk, total, batch, h, i, Math.min(end - i, Segments.CHUNK), 0);
    }
  }

  /// Outputs of one segment, chunk after chunk: first they attend, then their keys join the sums.
  private void attendCausally(int worker, int index) {
    int keyHead = index / keySegments.count();
    int segment = index % keySegments.count();
    LinearState state = states[keyHead][segment];
    LinearChunk chunk = chunks[worker];
    int end = keySegments.end(segment);
    for (int t = keySegments.start(segment); t < end; t += Segments.CHUNK) {
      int to = Math.min(end, t + Segments.CHUNK);
      if (kept != null) {
        int number = (t - keySegments.start(segment)) / Segments.CHUNK;
        kept.store(keyHead, segment, number, state);
      }
      int firstKey = keys(worker, state, keyHead, t, end);
      int firstQuery = Math.max(t, offset);
      int count = Math.min(to, offset + shape.querySeqLen()) - firstQuery;
      for (int g = 0; g < shape.groupSize() && count > 0; g++) {
        int batch = keyHead / shape.numKeyValueHeads();
        int h = keyHead % shape.numKeyValueHeads() * shape.groupSize() + g;
        queries(chunk, state, batch, h, firstQuery - offset, count, firstQuery - firstKey);
      }
      chunk.absorb(state);
    }
  }

  /// Loads the keys of the chunk at position t into the worker's chunk; returns the first one's
  /// index.
  private int keys(int worker, LinearState state, int keyHead, int t, int end) {
    int first = Math.max(t, 0);
    int count = Math.min(Math.min(end, t + Segments.CHUNK), shape.keySeqLen()) - first;
    LinearChunk chunk = chunks[worker];
    if (count <= 0) {
      chunk.noKeys(state);
      return first;
    }
    int row = keyHead * shape.keySeqLen() + first;
    chunk.keys(
        state,
        keyHead / shape.numKeyValueHeads(),
        keyHead % shape.numKeyValueHeads(),
        first,
        first,
        count,
        k,
        row * shape.headDim(),
        v,
        row * shape.valueDim());
    return first;
  }

  private void queries(
      LinearChunk chunk, LinearState state, int batch, int h, int first, int count, int visible) {
    chunk.attend(
        state,
        batch,
        h,
        first,
        first,
        count,
        visible,
        q,
        shape.queryOffset(batch, h) + first * shape.headDim(),
        out,
        shape.outputOffset(batch, h) + first * shape.valueDim());
  }

  private void finish(int worker, int keyHead) {
    LinearState state = last(keyHead);
    int width = map.width();
    int size = width * shape.valueDim();
    if (lastState != null) {
      System.arraycopy(state.sum, 0, lastState, keyHead * size, size);
    }
    if (lastNormaliser != null) {
      System.arraycopy(state.normaliser, 0, lastNormaliser, keyHead * width, width);
    }
    if (kept != null) {
      kept.storeLast(keyHead, state.reference);
    }
  }

  private LinearState last(int keyHead) {
    return states[keyHead][states[keyHead].length - 1];
  }
}
