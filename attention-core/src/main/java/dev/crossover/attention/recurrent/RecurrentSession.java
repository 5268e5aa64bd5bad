// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.recurrent;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.TokenSession;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.recurrent.UpdateRule.Decay;
import java.util.Arrays;

/// The recurrence as it is written: a state S `[d, dv]` per head, whatever the number of tokens.
/// Prefixes are taken in chunks, as a plan does, without outputs.
///
/// `initial_state`, where given with the first token, is what S starts from.
public final class RecurrentSession extends TokenSession {
  private static final String INITIAL = "initial_state";

  private final Kernels kernels = Kernels.get();
  private final UpdateRule rule;
  private final Workers workers;
  private final int dim;
  private final int valueDim;
  private final float[] states;
  private final float[][] rows;
  private final float[][] errors;
  private final float[][] erasures;
  private final int steps;
  private final Workers.Task write = this::write;
  private final Workers.Task read = this::read;
  private final Workers.Task prefix = this::prefix;
  private final ChunkLayout layout;

  /// Key and value of the token before, where its write is still to be completed.
  private final float[] lastKeys;

  private final float[] lastValues;
  private final Workers.Task complete = this::complete;
  private final Workers.Task keep = this::keepLast;
  private RecurrentChunk[] chunks = new RecurrentChunk[0];
  private int token;
  private int tokens;

  /// @param attention the mechanism, for its inputs and seed
  /// @param shape widths and heads; `keySeqLen` is the largest number of positions
  /// @param threads number of threads, at least 1
  /// @param rule how the state decays and is written
  public RecurrentSession(Attention attention, AttentionShape shape, int threads, UpdateRule rule) {
    super(attention, shape);
    this.rule = rule;
    this.workers = new Workers(threads);
    this.dim = shape.headDim();
    this.valueDim = shape.valueDim();
    this.states = new float[Math.multiplyExact(shape.problems(), dim * valueDim)];
    this.rows = new float[threads][dim];
    this.errors = new float[threads][valueDim];
    this.erasures = new float[threads][dim];
    this.steps = rule.steps();
    int kept = rule.completesLater() ? shape.problems() : 0;
    this.lastKeys = new float[kept * dim];
    this.lastValues = new float[kept * valueDim];
    this.layout =
        ChunkLayout.of(
            shape.withSeqLens(shape.keySeqLen(), shape.keySeqLen()),
            Mask.causal(),
            rule,
            RecurrentPlan.DEFAULT_CHUNK);
  }

  @Override
  protected void take(int t, int ofTokens) {
    token = t;
    tokens = ofTokens;
    begin();
    workers.run(shape.problems(), write);
    if (rule.completesLater()) {
      workers.run(shape.problems(), keep);
    }
  }

  /// Binds the call's tensors and brings the state up to its first token.
  private void begin() {
    rule.bind(inputs());
    rule.proceed(tokens, position() == 0);
    if (position() == 0 && hasInput(INITIAL)) {
      System.arraycopy(input(INITIAL), 0, states, 0, states.length);
    }
    if (rule.completesLater() && position() > 0 && tokens > 0) {
      workers.run(shape.problems(), complete);
    }
  }

  /// S ← S + k_{t−1} (γ_t v_{t−1})ᵀ.
  private void complete(int worker, int problem) {
    int row = problem * tokens;
    float[] error = errors[worker];
    float strength = rule.laterStrength(problem % shape.numHeads(), row);
    int s = problem * dim * valueDim;
    kernels.scale(valueDim, strength, lastValues, problem * valueDim, error, 0);
    kernels.multiplyTransposedA(
        dim,
        valueDim,
        1,
        lastKeys,
        problem * dim,
        dim,
        error,
        0,
        valueDim,
        states,
        s,
        valueDim,
        true);
  }

  /// Keeps the last key and value of the call.
  private void keepLast(int worker, int problem) {
    int row = problem * tokens + tokens - 1;
    int sharing = shape.numHeads() / rule.queryKeyHeads(shape);
    int from = (problem / sharing * tokens + tokens - 1) * dim;
    if (rule.formsRows()) {
      int head = problem % shape.numHeads();
      rule.formKey(head, row, input("k"), from, lastKeys, problem * dim);
    } else {
      System.arraycopy(input("k"), from, lastKeys, problem * dim, dim);
    }
    System.arraycopy(input("v"), row * valueDim, lastValues, problem * valueDim, valueDim);
  }

  @Override
  protected boolean takeTogether(int ofTokens) {
    tokens = ofTokens;
    begin();
    if (chunks.length == 0) {
      chunks = new RecurrentChunk[workers.threads()];
      Scratch scratch = new Scratch();
      for (int w = 0; w < chunks.length; w++) {
        chunks[w] = new RecurrentChunk(layout, scratch);
      }
    }
    workers.run(shape.problems() * layout.tasksPerHead(), prefix);
    if (rule.completesLater() && tokens > 0) {
      workers.run(shape.problems(), keep);
    }
    return true;
  }

  /// S after the prefix, for some of the columns of one head.
  private void prefix(int worker, int index) {
    int problem = index / layout.tasksPerHead();
    int firstBlock = index % layout.tasksPerHead() * layout.blocksPerTask();
    int endBlock = Math.min(layout.blocks(), firstBlock + layout.blocksPerTask());
    RecurrentChunk chunk = chunks[worker];
    int all = tokens * steps;
    chunk.start(
        problem / shape.numHeads(), problem % shape.numHeads(), all, position() * steps, false);
    int state = problem * dim * valueDim;
    for (int b = firstBlock; b < endBlock; b++) {
      chunk.load(b, states, state);
    }
    int sharing = shape.numHeads() / rule.queryKeyHeads(shape);
    int group = problem / sharing;
    for (int t = 0; t < all; t += layout.chunk()) {
      int count = Math.min(layout.chunk(), all - t);
      int queries = (group * tokens + t / steps) * dim;
      chunk.rows(t, count, input("q"), queries, input("k"), (group * all + t) * dim);
      int values = (problem * all + t) * valueDim;
      for (int b = firstBlock; b < endBlock; b++) {
        chunk.columns(b, true, input("v"), values, out, 0);
      }
    }
    for (int b = firstBlock; b < endBlock; b++) {
      chunk.store(b, 0, states, state);
    }
  }

  /// The rows of the token, for one head.
  private void write(int worker, int problem) {
    for (int step = 0; step < steps; step++) {
      write(worker, problem, step);
    }
  }

  /// S ← exp(g) S + k eᵀ.
  private void write(int worker, int problem, int step) {
    int head = problem % shape.numHeads();
    int tokenRow = problem * tokens + token;
    int row = tokenRow * steps + step;
    int s = problem * dim * valueDim;
    float[] key = rows[worker];
    float[] error = errors[worker];
    int keyRow = (sharedRow(problem) * steps + step) * dim;
    if (rule.formsRows()) {
      form(worker, head, row, keyRow, s, step == 0);
    } else {
      if (step == 0) {
        decay(head, tokenRow, s);
      }
      System.arraycopy(input("k"), keyRow, key, 0, dim);
      if (rule.transforms()) {
        rule.transform(key, 0, position(), 1);
      }
      correct(head, row, s, key, error);
    }
    kernels.multiplyTransposedA(
        dim, valueDim, 1, key, 0, dim, error, 0, valueDim, states, s, valueDim, true);
  }

  /// error ← β (v − Sᵀk).
  private void correct(int head, int row, int s, float[] key, float[] error) {
    if (rule.erases()) {
      kernels.multiply(
          1, valueDim, dim, key, 0, dim, states, s, valueDim, error, 0, valueDim, false);
      kernels.scale(valueDim, -1, error, 0, error, 0);
      kernels.add(valueDim, error, 0, input("v"), row * valueDim, error, 0);
    } else {
      System.arraycopy(input("v"), row * valueDim, error, 0, valueDim);
    }
    if (rule.weighsWrites()) {
      kernels.scale(valueDim, rule.writeStrength(head, row), error, 0, error, 0);
    }
  }

  /// The key, and error ← v + Sᵀe, of rows that the rule forms.
  private void form(int worker, int head, int row, int keyRow, int s, boolean decays) {
    float[] error = errors[worker];
    rule.formKey(head, row, input("k"), keyRow, rows[worker], 0);
    if (rule.formsValues()) {
      rule.formValue(head, row, 0, valueDim, error, 0);
    } else {
      correct(head, row, s, rows[worker], error);
    }
    if (decays && !rule.erasesBeforeDecay()) {
      decay(head, row / steps, s);
    }
    if (rule.erases()) {
      float[] erasing = erasures[worker];
      rule.formErasing(head, row, rows[worker], 0, erasing, 0);
      kernels.multiply(
          1, valueDim, dim, erasing, 0, dim, states, s, valueDim, error, 0, valueDim, true);
    }
    if (decays && rule.erasesBeforeDecay()) {
      decay(head, row / steps, s);
    }
  }

  private void decay(int head, int row, int s) {
    if (rule.decay() == Decay.CHANNEL) {
      for (int a = 0; a < dim; a++) {
        float factor = (float) Math.exp(rule.logDecays()[row * dim + a]);
        int at = s + a * valueDim;
        kernels.scale(valueDim, factor, states, at, states, at);
      }
    } else if (rule.decay() != Decay.NONE) {
      float factor = (float) Math.exp(rule.logDecay(head, row));
      kernels.scale(dim * valueDim, factor, states, s, states, s);
    }
  }

  @Override
  protected void answer(float[] output) {
    workers.run(shape.problems(), read);
  }

  /// out = scale · Sᵀ q for one head.
  private void read(int worker, int problem) {
    int head = problem % shape.numHeads();
    int row = problem * tokens + token;
    float[] query = rows[worker];
    int from = sharedRow(problem) * dim;
    if (rule.formsRows()) {
      rule.formQuery(head, row, input("q"), from, query, 0);
    } else {
      kernels.scale(dim, (float) rule.scale(), input("q"), from, query, 0);
    }
    if (rule.transforms()) {
      rule.transform(query, 0, position(), 1);
    }
    kernels.multiply(
        1,
        valueDim,
        dim,
        query,
        0,
        dim,
        states,
        problem * dim * valueDim,
        valueDim,
        out,
        row * valueDim,
        valueDim,
        false);
    rule.finish(head, row, 0, valueDim, out, row * valueDim, errors[worker]);
    if (rule.completesRows()) {
      rule.complete(head, row, 1, out, row * valueDim);
    }
  }

  private int sharedRow(int problem) {
    int sharing = shape.numHeads() / rule.queryKeyHeads(shape);
    return problem / sharing * tokens + token;
  }

  @Override
  protected void forget() {
    Arrays.fill(states, 0);
  }

  @Override
  public long stateBytes() {
    long floats = (long) states.length + lastKeys.length + lastValues.length;
    return floats * Float.BYTES + rule.proceedBytes();
  }
}
