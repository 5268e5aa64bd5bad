// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.linear;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.BoundTensors;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.Workers;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// The backward pass of linear attention, from what [LinearForward] kept.
///
/// Without causal order:
///
/// | stage   | parallel over                  |                                                    |
/// |---------|--------------------------------|----------------------------------------------------|
/// | queries | batch, head, query segment     | dq from the kept total; partial R                  |
/// | combine | batch, key/value head          | R of all queries; gradients of the initial sums    |
/// | keys    | batch, key/value head, segment | dk and dv from R                                   |
///
/// With causal order:
///
/// | stage   | parallel over                  |                                                    |
/// |---------|--------------------------------|----------------------------------------------------|
/// | suffix  | batch, key/value head, segment | R of one segment's queries, all but the first segment |
/// | combine | batch, key/value head          | R behind each segment, last to first               |
/// | reverse | batch, key/value head, segment | chunk after chunk from the last: dq from the state before it, dk and dv from R behind it |
///
/// States between kept ones are computed again from the kept one before. Gradients of parameters
/// are summed per task and then in the order of batch entries and segments.
final class LinearBackward {
  private static final int CHUNK = Segments.CHUNK;

  private final AttentionShape shape;
  private final Workers workers;
  private final FeatureMap map;
  private final LinearKept kept;
  private final boolean causal;
  private final boolean scaled;
  private final int width;
  private final int valueDim;
  private final int keyHeads;
  private final int offset;
  private final Segments keySegments;
  private final Segments querySegments;
  private final LinearSuffix[][] suffixes;
  private final LinearGradientChunk[] chunks;
  private final float[][] states;
  private final float[][] stateValues;
  private final int[][] stateKeys;
  private final double[][] stateReferences;
  private final float[] queryParameters;
  private final float[] keyParameters;
  private final float[] nothing = new float[0];
  private final Workers.Task queries = this::queries;
  private final Workers.Task combine = this::combine;
  private final Workers.Task keys = this::keys;
  private final Workers.Task suffix = this::suffix;
  private final Workers.Task combineCausally = this::combineCausally;
  private final Workers.Task reverse = this::reverse;
  private final Workers.Task addParameters = this::addParameters;
  private float[] k = nothing;
  private float[] v = nothing;
  private float @Nullable [] gradLastState;
  private float @Nullable [] gradLastNormaliser;
  private float @Nullable [] gradFirstState;
  private float @Nullable [] gradFirstNormaliser;

  LinearBackward(FeatureSite site, Workers workers, LinearForward forward) {
    this.shape = site.shape();
    this.workers = workers;
    map = forward.map();
    kept = forward.kept();
    causal = site.mask().isCausal();
    scaled = map.scaling() != FeatureMap.Scaling.NONE;
    if (map.scaling() == FeatureMap.Scaling.DECAY && !causal) {
      throw new IllegalArgumentException("decay must be in causal order, but the mask is not");
    }
    width = map.width();
    valueDim = shape.valueDim();
    keyHeads = shape.batchSize() * shape.numKeyValueHeads();
    offset = causal ? Segments.offset(shape, site.mask()) : 0;
    keySegments = Segments.ofKeys(shape, site.mask());
    querySegments = causal ? keySegments : Segments.ofQueries(shape);
    Scratch scratch = site.scratch();
    map.allocateGradients(scratch);
    suffixes = new LinearSuffix[keyHeads][suffixesPerHead(shape, querySegments, causal)];
    for (LinearSuffix[] head : suffixes) {
      for (int s = 0; s < head.length; s++) {
        head[s] = new LinearSuffix(scratch, width, valueDim, map.keyShift() != 0);
      }
    }
    chunks = new LinearGradientChunk[site.threads()];
    states = new float[site.threads()][];
    stateValues = new float[site.threads()][];
    stateKeys = new int[site.threads()][];
    stateReferences = new double[site.threads()][];
    int between = causal ? kept.stride - 1 : 0;
    for (int t = 0; t < chunks.length; t++) {
      chunks[t] = new LinearGradientChunk(site, map, t);
      states[t] = scratch.floats((long) between * kept.size());
      stateValues[t] = scratch.floats(map.keyShift() == 0 ? 0 : (long) between * valueDim);
      stateKeys[t] = scratch.ints(between);
      stateReferences[t] = scratch.doubles(between);
    }
    queryParameters =
        scratch.floats((long) shape.problems() * querySegments.count() * map.queryParameters());
    keyParameters = scratch.floats((long) keyHeads * keySegments.count() * map.keyParameters());
  }

  /// Bytes the constructor allocates beyond what the feature map and its parameters take.
  static long bytes(LinearCost cost) {
    AttentionShape s = cost.shape();
    boolean causal = cost.mask().isCausal();
    Segments keySegments = Segments.ofKeys(s, cost.mask());
    Segments querySegments = causal ? keySegments : Segments.ofQueries(s);
    int m = cost.width();
    int dv = s.valueDim();
    long keyHeads = (long) s.batchSize() * s.numKeyValueHeads();
    long between = causal ? LinearKept.stride(m) - 1 : 0;
    long state = ((dv + 1L) * m + (cost.shifted() ? dv : 0)) * Float.BYTES;
    long perThread =
        LinearGradientChunk.bytes(s.headDim(), m, dv, cost.scaled(), cost.keyWidth())
            + between * (state + Integer.BYTES + Double.BYTES);
    return keyHeads
            * suffixesPerHead(s, querySegments, causal)
            * LinearSuffix.bytes(m, dv, cost.shifted())
        + cost.threads() * perThread;
  }

  private static int suffixesPerHead(AttentionShape s, Segments querySegments, boolean causal) {
    return causal ? querySegments.count() : querySegments.count() * s.groupSize();
  }

  /// Adds the gradients that were asked for.
  ///
  /// @param upstream gradients of the final sums, `final_state` and `final_normaliser`
  /// @param asked where to add gradients, by the inputs' names
  void run(
      BoundTensors inputs,
      float[] output,
      float[] gradOutput,
      BoundTensors upstream,
      BoundTensors asked) {
    k = inputs.get("k");
    v = inputs.get("v");
    gradLastState = orNull(upstream, "final_state");
    gradLastNormaliser = orNull(upstream, "final_normaliser");
    boolean started = inputs.has("initial_state");
    gradFirstState = started ? orNull(asked, "initial_state") : null;
    gradFirstNormaliser = started ? orNull(asked, "initial_normaliser") : null;
    for (LinearGradientChunk chunk : chunks) {
      chunk.begin(inputs, output, gradOutput, kept.weights, asked);
    }
    map.beginGradients(asked);
    Arrays.fill(queryParameters, 0);
    Arrays.fill(keyParameters, 0);
    if (causal) {
      workers.run(keyHeads * (keySegments.count() - 1), suffix);
      workers.run(keyHeads, combineCausally);
      workers.run(keyHeads * keySegments.count(), reverse);
    } else {
      workers.run(shape.problems() * querySegments.count(), queries);
      workers.run(keyHeads, combine);
      workers.run(keyHeads * keySegments.count(), keys);
    }
    workers.run(Math.max(shape.numHeads(), shape.numKeyValueHeads()), addParameters);
  }

  private static float @Nullable [] orNull(BoundTensors tensors, String name) {
    return tensors.has(name) ? tensors.get(name) : null;
  }

  /// dq of one segment of queries from the kept total, and what they add to R.
  private void queries(int worker, int index) {
    int problem = index / querySegments.count();
    int segment = index % querySegments.count();
    int batch = problem / shape.numHeads();
    int h = problem % shape.numHeads();
    int keyHead = batch * shape.numKeyValueHeads() + h / shape.groupSize();
    LinearSuffix sum = suffixes[keyHead][h % shape.groupSize() * querySegments.count() + segment];
    sum.clear();
    LinearGradientChunk chunk = chunks[worker];
    double reference = kept.references[keyHead][0];
    int end = querySegments.end(segment);
    for (int i = querySegments.start(segment); i < end; i += CHUNK) {
      chunk.keys.none(reference);
      chunk.takeQueries(batch, h, i, Math.min(CHUNK, end - i));
      chunk.readState(kept.sums[keyHead], 0, kept.values[keyHead], 0, kept.keys[keyHead][0]);
      chunk.join(sum, reference, 0);
      chunk.finishQueries(queryParameters, index * map.queryParameters());
    }
  }

  /// R of all queries, in the order of heads and segments, and the upstream gradients of the sums.
  private void combine(int worker, int keyHead) {
    LinearSuffix[] head = suffixes[keyHead];
    for (int s = 1; s < head.length; s++) {
      head[0].add(1, head[s]);
    }
    addUpstream(keyHead, head[0]);
    addInitial(keyHead, head[0]);
  }

  /// dk and dv of one segment of keys.
  private void keys(int worker, int index) {
    int keyHead = index / keySegments.count();
    int segment = index % keySegments.count();
    LinearSuffix sum = suffixes[keyHead][0];
    LinearGradientChunk chunk = chunks[worker];
    double total = kept.references[keyHead][0];
    double reference = map.scaling() == FeatureMap.Scaling.MAXIMUM ? Double.NEGATIVE_INFINITY : 0;
    int end = keySegments.end(segment);
    for (int t = keySegments.start(segment); t < end; t += CHUNK) {
      takeKeys(chunk, keyHead, reference, t, end);
      reference = chunk.keys.lastReference();
      chunk.readSuffix(sum, total, nothing, 0);
      finishKeys(chunk, keyHead, t, index);
    }
  }

  /// R of one segment's queries, relative to the segment's start.
  private void suffix(int worker, int index) {
    int partial = keySegments.count() - 1;
    int keyHead = index / partial;
    int segment = index % partial + 1;
    LinearSuffix sum = suffixes[keyHead][segment - 1];
    sum.clear();
    LinearGradientChunk chunk = chunks[worker];
    double first = kept.firstReference(keyHead, segment);
    double reference = first;
    int end = keySegments.end(segment);
    for (int t = keySegments.start(segment); t < end; t += CHUNK) {
      if (scaled) {
        takeKeys(chunk, keyHead, reference, t, end);
        reference = chunk.keys.lastReference();
      } else {
        chunk.keys.none(0);
      }
      int from = firstQuery(t);
      int count = queryCount(t, end);
      for (int g = 0; g < shape.groupSize() && count > 0; g++) {
        chunk.takeQueries(batch(keyHead), head(keyHead, g), from, count);
        chunk.join(sum, first, keyOffset(t));
      }
    }
  }

  /// R behind each segment, relative to its end: that of the next segment and of all behind it.
  private void combineCausally(int worker, int keyHead) {
    LinearSuffix[] head = suffixes[keyHead];
    int last = head.length - 1;
    head[last].clear();
    addUpstream(keyHead, head[last]);
    for (int s = last - 1; s >= 0; s--) {
      double from = kept.firstReference(keyHead, s + 1);
      double to = s + 1 == last ? kept.lastReference(keyHead) : kept.firstReference(keyHead, s + 2);
      head[s].add((float) LinearState.factor(from, to), head[s + 1]);
    }
  }

  /// One segment, from its last chunk to its first.
  private void reverse(int worker, int index) {
    int keyHead = index / keySegments.count();
    int segment = index % keySegments.count();
    LinearSuffix sum = suffixes[keyHead][segment];
    int start = keySegments.start(segment);
    int chunksHere = Math.ceilDiv(keySegments.end(segment) - start, CHUNK);
    int lastBlock = (chunksHere - 1) / kept.stride * kept.stride;
    for (int block = chunksHere == 0 ? -1 : lastBlock; block >= 0; block -= kept.stride) {
      int blockEnd = Math.min(chunksHere, block + kept.stride);
      int slot = kept.slot(segment, block);
      recompute(worker, keyHead, segment, slot, block, blockEnd);
      for (int c = blockEnd - 1; c >= block; c--) {
        reverseChunk(worker, index, sum, slot, c - block, start + c * CHUNK);
      }
    }
    if (segment == 0) {
      addInitial(keyHead, sum);
    }
  }

  /// The states of a block's chunks but the first, whose state was kept.
  private void recompute(int worker, int keyHead, int segment, int slot, int block, int blockEnd) {
    LinearGradientChunk chunk = chunks[worker];
    int size = kept.size();
    double reference = kept.references[keyHead][slot];
    int seen = kept.keys[keyHead][slot];
    for (int c = block; c + 1 < blockEnd; c++) {
      int t = keySegments.start(segment) + c * CHUNK;
      takeKeys(chunk, keyHead, reference, t, keySegments.end(segment));
      int to = c - block;
      boolean first = to == 0;
      chunk.advance(
          first ? kept.sums[keyHead] : states[worker],
          first ? slot * size : (to - 1) * size,
          states[worker],
          to * size);
      if (map.keyShift() != 0) {
        chunk.advanceValues(
            first ? kept.values[keyHead] : stateValues[worker],
            first ? slot * valueDim : (to - 1) * valueDim,
            stateValues[worker],
            to * valueDim);
      }
      reference = chunk.keys.lastReference();
      seen += chunk.keys.realKeys[chunk.keys.count];
      stateReferences[worker][to] = reference;
      stateKeys[worker][to] = seen;
    }
  }

  /// One chunk: its queries read the state before it, its keys the queries behind it, and both each
  /// other; then its queries join R.
  ///
  /// @param number of the chunk within its block
  private void reverseChunk(int worker, int index, LinearSuffix sum, int slot, int number, int t) {
    int keyHead = index / keySegments.count();
    int segment = index % keySegments.count();
    LinearGradientChunk chunk = chunks[worker];
    boolean first = number == 0;
    float[] state = first ? kept.sums[keyHead] : states[worker];
    float[] values = first ? kept.values[keyHead] : stateValues[worker];
    int at = first ? slot : number - 1;
    double reference = first ? kept.references[keyHead][slot] : stateReferences[worker][number - 1];
    int seen = first ? kept.keys[keyHead][slot] : stateKeys[worker][number - 1];
    int end = keySegments.end(segment);
    takeKeys(chunk, keyHead, reference, t, end);
    double last = chunk.keys.lastReference();
    chunk.readSuffix(sum, last, state, at * kept.size());
    sum.rescale(LinearState.factor(reference, last));
    int from = firstQuery(t);
    int count = queryCount(t, end);
    int keyOffset = keyOffset(t);
    for (int g = 0; g < shape.groupSize() && count > 0; g++) {
      int problem = batch(keyHead) * shape.numHeads() + head(keyHead, g);
      chunk.takeQueries(batch(keyHead), head(keyHead, g), from, count);
      chunk.readState(state, at * kept.size(), values, at * valueDim, seen);
      chunk.scaleState(keyOffset);
      chunk.meetKeys(keyOffset);
      chunk.join(sum, reference, keyOffset);
      int slotOfTask = problem * querySegments.count() + segment;
      chunk.finishQueries(queryParameters, slotOfTask * map.queryParameters());
    }
    finishKeys(chunk, keyHead, t, index);
  }

  /// Index of the first query of the causal chunk at position t.
  private int firstQuery(int t) {
    return Math.max(t, offset) - offset;
  }

  /// Number of queries of the causal chunk at position t.
  private int queryCount(int t, int end) {
    int to = Math.min(Math.min(end, t + CHUNK), offset + shape.querySeqLen());
    return to - Math.max(t, offset);
  }

  /// Key of the causal chunk at position t that its first query stands at.
  private int keyOffset(int t) {
    return Math.max(t, offset) - Math.max(t, 0);
  }

  private void takeKeys(LinearGradientChunk chunk, int keyHead, double reference, int t, int end) {
    int first = Math.max(t, 0);
    int count = Math.min(Math.min(end, t + CHUNK), shape.keySeqLen()) - first;
    if (count <= 0) {
      chunk.keys.none(reference);
      return;
    }
    int row = keyHead * shape.keySeqLen() + first;
    chunk.keys.take(
        reference,
        batch(keyHead),
        keyHead % shape.numKeyValueHeads(),
        first,
        first,
        count,
        k,
        row * shape.headDim(),
        v,
        row * valueDim);
  }

  private void finishKeys(LinearGradientChunk chunk, int keyHead, int t, int index) {
    int row = keyHead * shape.keySeqLen() + Math.max(t, 0);
    chunk.finishKeys(row, keyParameters, index * map.keyParameters());
  }

  private int batch(int keyHead) {
    return keyHead / shape.numKeyValueHeads();
  }

  private int head(int keyHead, int g) {
    return keyHead % shape.numKeyValueHeads() * shape.groupSize() + g;
  }

  /// Adds the upstream gradients of the final sums to R.
  private void addUpstream(int keyHead, LinearSuffix sum) {
    if (gradLastState != null) {
      sum.addState(gradLastState, keyHead * width * valueDim);
    }
    if (gradLastNormaliser != null) {
      sum.addNormaliser(gradLastNormaliser, keyHead * width);
    }
  }

  /// Adds the gradients of the initial sums, which are R before all keys.
  private void addInitial(int keyHead, LinearSuffix sum) {
    if (gradFirstState != null) {
      sum.addToState(gradFirstState, keyHead * width * valueDim);
    }
    if (gradFirstNormaliser != null) {
      sum.addToNormaliser(gradFirstNormaliser, keyHead * width);
    }
  }

  /// Sums the gradients of one head's parameters over batch entries and segments, in order.
  private void addParameters(int worker, int head) {
    int size = map.queryParameters();
    if (head < shape.numHeads() && size > 0) {
      int at = sum(queryParameters, head, shape.numHeads(), querySegments.count(), size);
      map.addQueryParameters(head, queryParameters, at);
    }
    size = map.keyParameters();
    if (head < shape.numKeyValueHeads() && size > 0) {
      int at = sum(keyParameters, head, shape.numKeyValueHeads(), keySegments.count(), size);
      map.addKeyParameters(head, keyParameters, at);
    }
  }

  /// Sums a head's parts into the first of them; returns where that is.
  private int sum(float[] parts, int head, int heads, int segments, int size) {
    int to = head * segments * size;
    for (int b = 0; b < shape.batchSize(); b++) {
      for (int s = 0; s < segments; s++) {
        int from = ((b * heads + head) * segments + s) * size;
        for (int i = 0; i < size && from != to; i++) {
          parts[to + i] += parts[from + i];
        }
      }
    }
    return to;
  }
}
