package dev.crossover.attention.linear;

import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Workers;
import dev.crossover.attention.tensor.Tensor;

/// A planned linear attention: `out_i = (φ(q_i)·S) / r(φ(q_i)·z)` with `S = Σ φ(k)vᵀ`, `z = Σ φ(k)`
/// over the keys that query i may see.
///
/// | stage       | parallel over                   | without causal order       | causal             |
/// |-------------|---------------------------------|----------------------------|--------------------|
/// | prepare     | what the feature map says       | reads ahead                | reads ahead        |
/// | accumulate  | batch, key/value head, segment  | partial S, z               | all but the last segment |
/// | combine     | batch, key/value head           | running sums over segments, in order | the same |
/// | attend      | batch, head, segment            | reads the total            | chunk after chunk from the sums before |
///
/// Query heads that share a key/value head share its sums and features. Optional inputs
/// `initial_state` `[batch, numKeyValueHeads, M, dv]` and `initial_normaliser` `[batch,
/// numKeyValueHeads, M]`, and results `final_state` and `final_normaliser` of the same shapes, are
/// honoured where the mechanism lists them.
public final class LinearAttentionPlan extends AttentionPlan {
  private final FeatureMap map;
  private final boolean causal;
  private final int keyHeads = shape.batchSize() * shape.numKeyValueHeads();
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
  private float[] q = new float[0];
  private float[] k = new float[0];
  private float[] v = new float[0];
  private float[] out = new float[0];

  /// @param request the checked request
  /// @param form feature maps and denominator
  public LinearAttentionPlan(PlanRequest request, LinearForm form) {
    super(request);
    FeatureSite site = new FeatureSite(shape, mask, threads(), false, scratch);
    causal = mask.isCausal();
    map = form.features().create(site);
    offset = causal ? Segments.offset(shape, mask) : 0;
    keySegments = Segments.ofKeys(shape, mask);
    querySegments = Segments.ofQueries(shape);
    states = new LinearState[keyHeads][statesPerHead(keySegments, causal)];
    for (LinearState[] head : states) {
      for (int s = 0; s < head.length; s++) {
        head[s] = new LinearState(scratch, map, shape.valueDim(), shape.keySeqLen());
      }
    }
    chunks = new LinearChunk[threads()];
    for (int t = 0; t < chunks.length; t++) {
      chunks[t] = new LinearChunk(site, form, map, t);
    }
  }

  /// State 0 holds the sums before the sequence, state s + 1 those up to segment s; the causal form
  /// adds each segment to the state before it while it goes along.
  static int statesPerHead(Segments segments, boolean causal) {
    return causal ? segments.count() : segments.count() + 1;
  }

  @Override
  protected void compute(Tensor output) {
    q = input("q");
    k = input("k");
    v = input("v");
    out = output.data();
    map.begin(inputs());
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
    if (hasInput("initial_state")) {
      int width = map.width();
      head[0].load(
          input("initial_state"), keyHead * width * shape.valueDim(),
          input("initial_normaliser"), keyHead * width);
    }
    for (int s = 1; s < head.length; s++) {
      head[s].prepend(head[s - 1]);
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
    if (wantsResult("final_state")) {
      System.arraycopy(state.sum, 0, result("final_state"), keyHead * size, size);
    }
    if (wantsResult("final_normaliser")) {
      System.arraycopy(state.normaliser, 0, result("final_normaliser"), keyHead * width, width);
    }
  }

  private LinearState last(int keyHead) {
    return states[keyHead][states[keyHead].length - 1];
  }
}
