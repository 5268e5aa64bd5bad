// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.linear;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.BoundTensors;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.TokenSession;
import dev.crossover.attention.Workers;

/// Linear attention as a recurrent network: the state of a head is S `[M, dv]` and z `[M]`,
/// whatever the number of tokens. A step is a causal chunk of one row, a prefix a sequence of
/// chunks without outputs.
///
/// Katharopoulos et al., arXiv:2006.16236, equations (16) to (20).
public final class LinearDecodeSession extends TokenSession {
  private final FeatureMap map;
  private final Workers workers;
  private final LinearState[] states;
  private final LinearChunk[] chunks;
  private final Workers.Task head = this::head;
  private final float[] nothing = new float[0];
  private float[] q = nothing;
  private float[] k = nothing;
  private float[] v = nothing;
  private float[] out = nothing;
  private boolean producing;
  private int tokens;

  /// @param attention the mechanism, for its inputs and seed
  /// @param shape widths and heads; `keySeqLen` is the largest number of positions
  /// @param threads number of threads, at least 1
  /// @param form feature maps and denominator
  public LinearDecodeSession(
      Attention attention, AttentionShape shape, int threads, LinearForm form) {
    super(attention, shape);
    this.workers = new Workers(threads);
    Scratch scratch = new Scratch();
    this.map =
        form.features().create(new FeatureSite(shape, Mask.causal(), threads, true, scratch));
    this.states = new LinearState[shape.batchSize() * shape.numKeyValueHeads()];
    for (int s = 0; s < states.length; s++) {
      states[s] = new LinearState(scratch, map, shape.valueDim(), shape.keySeqLen());
    }
    FeatureSite unmasked = new FeatureSite(shape, Mask.none(), threads, true, scratch);
    this.chunks = new LinearChunk[threads];
    for (int t = 0; t < threads; t++) {
      chunks[t] = new LinearChunk(unmasked, form, map, t);
    }
    forget();
  }

  /// Binds the token; [#answer] attends to it and takes it in one pass over the state.
  @Override
  protected void take(int t, int ofTokens) {
    begin(ofTokens);
  }

  @Override
  protected void answer(float[] output) {
    out = output;
    producing = true;
    workers.run(states.length, head);
  }

  @Override
  protected boolean takeTogether(int ofTokens) {
    begin(ofTokens);
    out = nothing;
    producing = false;
    workers.run(states.length, head);
    return true;
  }

  private void begin(int ofTokens) {
    BoundTensors inputs = inputs();
    tokens = ofTokens;
    q = inputs.get("q");
    k = inputs.get("k");
    v = inputs.get("v");
    map.begin(inputs);
    if (position() == 0 && inputs.has("initial_state")) {
      for (int s = 0; s < states.length; s++) {
        states[s].load(
            inputs.get("initial_state"), s * map.width() * shape.valueDim(),
            inputs.get("initial_normaliser"), s * map.width());
      }
    }
  }

  /// One key/value head with the query heads that share it: attend, then absorb.
  private void head(int worker, int keyHead) {
    LinearState state = states[keyHead];
    LinearChunk chunk = chunks[worker];
    int batch = keyHead / shape.numKeyValueHeads();
    int kv = keyHead % shape.numKeyValueHeads();
    for (int t = 0; t < tokens; t += Segments.CHUNK) {
      int row = keyHead * tokens + t;
      int count = Math.min(Segments.CHUNK, tokens - t);
      chunk.keys(
          state,
          batch,
          kv,
          t,
          position() + t,
          count,
          k,
          row * shape.headDim(),
          v,
          row * shape.valueDim());
      for (int h = kv * shape.groupSize(); producing && h < (kv + 1) * shape.groupSize(); h++) {
        int query = batch * shape.numHeads() + h;
        chunk.attend(
            state,
            batch,
            h,
            0,
            position(),
            1,
            0,
            q,
            query * shape.headDim(),
            out,
            query * shape.valueDim());
      }
      chunk.absorb(state);
    }
  }

  @Override
  public long stateBytes() {
    return states.length * states[0].bytes();
  }

  @Override
  protected void forget() {
    for (LinearState state : states) {
      state.clear();
    }
  }
}
