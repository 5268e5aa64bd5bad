// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.recurrent;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.BoundTensors;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.Workers;
import org.jspecify.annotations.Nullable;

/// The pass over whole sequences, with the scratch of all workers.
///
/// Parallel over heads and, where these are few, over blocks of value columns.
final class RecurrentForward {
  private static final float[] NOTHING = new float[0];

  private final ChunkLayout layout;
  private final AttentionShape shape;
  private final UpdateRule rule;
  private final Workers workers;
  private final RecurrentChunk[] chunks;
  private final @Nullable KeptStates kept;
  private final Workers.Task task = this::task;
  private final Workers.Task completing = this::complete;
  private float[] q = NOTHING;
  private float[] k = NOTHING;
  private float[] v = NOTHING;
  private float[] initial = NOTHING;
  private float[] out = NOTHING;
  private float[] last = NOTHING;

  /// @param kept where to leave what a backward pass needs, if there is one
  RecurrentForward(
      ChunkLayout layout, Workers workers, Scratch scratch, @Nullable KeptStates kept) {
    this.layout = layout;
    this.shape = layout.shape();
    this.rule = layout.rule();
    this.workers = workers;
    this.kept = kept;
    rule.allocate(shape.withSeqLens(layout.tokens(), layout.tokens()), layout.mask(), scratch);
    chunks = new RecurrentChunk[workers.threads()];
    for (int w = 0; w < chunks.length; w++) {
      chunks[w] = new RecurrentChunk(layout, scratch);
    }
  }

  RecurrentChunk chunk(int worker) {
    return chunks[worker];
  }

  /// @param output written
  /// @param finalState written, unless it is empty
  void run(BoundTensors inputs, float[] output, float[] finalState) {
    q = inputs.get("q");
    k = inputs.get("k");
    v = inputs.get("v");
    initial = inputs.has(RecurrentPlan.INITIAL) ? inputs.get(RecurrentPlan.INITIAL) : NOTHING;
    out = output;
    last = finalState;
    rule.bind(inputs);
    rule.prepare(workers);
    workers.run(shape.problems() * layout.tasksPerHead(), task);
    if (rule.completesRows()) {
      workers.run(shape.problems() * layout.chunks(), completing);
    }
  }

  /// Completes the output rows of one chunk.
  private void complete(int worker, int index) {
    int problem = index / layout.chunks();
    int t = index % layout.chunks() * layout.chunk();
    int rows = Math.min(layout.chunk(), shape.querySeqLen() - t);
    int row = problem * layout.tokens() + t / rule.steps();
    int at = row * shape.valueDim();
    rule.complete(problem % shape.numHeads(), row, rows / rule.steps(), out, at);
  }

  /// Some column blocks of one head, over the whole sequence.
  private void task(int worker, int index) {
    int problem = index / layout.tasksPerHead();
    int firstBlock = index % layout.tasksPerHead() * layout.blocksPerTask();
    int endBlock = Math.min(layout.blocks(), firstBlock + layout.blocksPerTask());
    int n = shape.querySeqLen();
    int dim = shape.headDim();
    int valueDim = shape.valueDim();
    int state = problem * dim * valueDim;
    RecurrentChunk chunk = chunks[worker];
    chunk.start(problem / shape.numHeads(), problem % shape.numHeads(), n, 0, true);
    boolean seen = initial.length > 0;
    for (int b = firstBlock; b < endBlock && seen; b++) {
      chunk.load(b, initial, state);
    }
    int sharing = shape.numHeads() / rule.queryKeyHeads(shape);
    int steps = rule.steps();
    int group = problem / sharing;
    for (int t = 0; t < n; t += layout.chunk()) {
      int count = Math.min(layout.chunk(), n - t);
      int queries = (group * layout.tokens() + t / steps) * dim;
      chunk.rows(t, count, q, queries, k, (group * n + t) * dim);
      int values = (problem * n + t) * valueDim;
      int outputs = (problem * layout.tokens() + t / steps) * valueDim;
      for (int b = firstBlock; b < endBlock; b++) {
        if (kept != null) {
          kept.before(chunk, b, problem, t);
        }
        chunk.columns(b, seen, v, values, out, outputs);
        if (kept != null) {
          kept.after(chunk, b, values, outputs, out);
        }
        chunk.finish(b, out, outputs);
      }
      seen = true;
    }
    for (int b = firstBlock; b < endBlock && last.length > 0; b++) {
      chunk.store(b, layout.tokens(), last, state);
    }
  }
}
