// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.recurrent;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.BoundTensors;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.Workers;

/// Both passes of a recurrence, with the scratch of all workers.
///
/// Where there are many heads, a task takes a head from its last chunk to its first and forms all
/// gradients of a chunk on the way. Where there are few, R and W are first carried through all
/// chunks, in parallel over blocks of value columns, and kept; then every chunk forms its gradients
/// on its own. Both do the same operations in the same order.
final class RecurrentBackward {
  /// Chunks that one task of the second kind takes.
  private static final int CHUNKS_PER_TASK = 8;

  private static final float[] NOTHING = new float[0];
  private static final double[] NO_PARTS = new double[0];

  private final ChunkLayout layout;
  private final AttentionShape shape;
  private final UpdateRule rule;
  private final Workers workers;
  private final KeptStates kept;
  private final RecurrentForward forward;
  private final ChunkGradient[] gradients;
  private final int stateSize;
  private final int sharing;

  private final GradientTensors tensors;
  private final float[] unfinishedGradient;
  private final double[] decayParts;
  private final Workers.Task finishing = this::finish;
  private final Workers.Task wholeHeads = this::wholeHeads;
  private final Workers.Task columns = this::columns;
  private final Workers.Task chunks = this::chunks;
  private float[] out = NOTHING;
  private float[] gradOut = NOTHING;

  RecurrentBackward(ChunkLayout layout, Workers workers, Scratch scratch, Scratch keeping) {
    this.layout = layout;
    this.workers = workers;
    shape = layout.shape();
    rule = layout.rule();
    kept = new KeptStates(layout, keeping);
    forward = new RecurrentForward(layout, workers, scratch, kept);
    stateSize = shape.headDim() * shape.valueDim();
    sharing = shape.numHeads() / rule.queryKeyHeads(shape);
    long values = (long) shape.problems() * shape.querySeqLen() * shape.valueDim();
    long parts = (long) shape.problems() * layout.chunks();
    boolean whole = layout.wholeHeads();
    int threads = workers.threads();
    tensors =
        new GradientTensors(
            scratch.floats((whole ? threads : parts) * stateSize),
            scratch.floats(whole ? (long) threads * chunkValues() : values));
    gradients = new ChunkGradient[threads];
    for (int w = 0; w < threads; w++) {
      gradients[w] = new ChunkGradient(layout, forward.chunk(w), kept, tensors, scratch);
    }
    unfinishedGradient = scratch.floats(rule.finishes() ? values / rule.steps() : 0);
    boolean constant = rule.decay() == UpdateRule.Decay.CONSTANT;
    decayParts = scratch.doubles(constant ? parts : 0);
    AttentionShape tokens = shape.withSeqLens(layout.tokens(), layout.tokens());
    rule.allocateGradients(tokens, Math.toIntExact(parts), scratch);
  }

  private int chunkValues() {
    return layout.chunk() * shape.valueDim();
  }

  void forward(BoundTensors inputs, float[] output, float[] finalState) {
    forward.run(inputs, output, finalState);
  }

  /// @param output what [#forward] wrote
  /// @param finalGradient gradient of the final state, empty if there is none
  /// @param places where gradients are added
  void run(
      BoundTensors inputs,
      float[] output,
      float[] outputGradient,
      float[] finalGradient,
      BoundTensors places) {
    out = output;
    gradOut = outputGradient;
    tensors.bind(inputs, places);
    tensors.finalState = finalGradient;
    tensors.upstream = gradOut;
    rule.bindGradients(places);
    boolean decays = rule.wantsDecayGradient();
    for (ChunkGradient gradient : gradients) {
      gradient.decay().addTo(decays ? decayParts : NO_PARTS);
    }
    if (rule.finishes()) {
      tensors.upstream = unfinishedGradient;
      workers.run(shape.problems() * chunkGroups(), finishing);
    }
    if (layout.wholeHeads()) {
      workers.run(layout.units(), wholeHeads);
    } else {
      workers.run(shape.problems() * layout.tasksPerHead(), columns);
      workers.run(layout.units() * chunkGroups(), chunks);
    }
    for (int part = 0; part < decayParts.length && decays; part++) {
      rule.addDecayGradient(part / layout.chunks() % shape.numHeads(), decayParts[part]);
    }
    rule.addGradients();
  }

  private int chunkGroups() {
    return Math.ceilDiv(layout.chunks(), CHUNKS_PER_TASK);
  }

  private int rowsAt(int t) {
    return Math.min(layout.chunk(), shape.querySeqLen() - t);
  }

  /// Takes the gradient of completed outputs back, for some chunks of a head.
  private void finish(int worker, int index) {
    int problem = index / chunkGroups();
    int first = index % chunkGroups() * CHUNKS_PER_TASK;
    for (int c = first; c < Math.min(layout.chunks(), first + CHUNKS_PER_TASK); c++) {
      int t = c * layout.chunk();
      rule.finishBack(
          problem * layout.chunks() + c,
          problem % shape.numHeads(),
          problem * layout.tokens() + t / rule.steps(),
          rowsAt(t) / rule.steps(),
          kept.unfinished,
          out,
          gradOut,
          unfinishedGradient);
    }
  }

  private ChunkGradient start(int worker, int problem) {
    ChunkGradient gradient = gradients[worker];
    gradient.start(problem / shape.numHeads(), problem % shape.numHeads());
    return gradient;
  }

  private void rows(ChunkGradient gradient, int problem, int t) {
    gradient.rows(t, rowsAt(t), queryRow(problem, t), keyRow(problem, t), outputRow(problem, t));
  }

  private int queryRow(int problem, int t) {
    return (problem / sharing * layout.tokens() + t / rule.steps()) * shape.headDim();
  }

  private int keyRow(int problem, int t) {
    return (problem / sharing * shape.querySeqLen() + t) * shape.headDim();
  }

  private int outputRow(int problem, int t) {
    return (problem * layout.tokens() + t / rule.steps()) * shape.valueDim();
  }

  private int valueRow(int problem, int t) {
    return (problem * shape.querySeqLen() + t) * shape.valueDim();
  }

  private int lastChunk() {
    return (layout.chunks() - 1) * layout.chunk();
  }

  private void loadReverse(ChunkGradient gradient, int problem, int block) {
    if (tensors.finalState.length > 0) {
      gradient.loadReverse(block, layout.tokens(), problem * stateSize);
    }
  }

  private void addReverse(ChunkGradient gradient, int problem, int block) {
    if (tensors.gradInitial.length > 0) {
      gradient.addReverse(block, problem * stateSize);
    }
  }

  /// Everything of the heads that share queries and keys.
  private void wholeHeads(int worker, int unit) {
    int r = worker * stateSize;
    int w = worker * chunkValues();
    for (int problem = unit * sharing; problem < (unit + 1) * sharing; problem++) {
      ChunkGradient gradient = start(worker, problem);
      for (int b = 0; b < layout.blocks(); b++) {
        loadReverse(gradient, problem, b);
      }
      for (int t = lastChunk(); t >= 0; t -= layout.chunk()) {
        rows(gradient, problem, t);
        for (int b = 0; b < layout.blocks(); b++) {
          gradient.saveReverse(b, r);
          gradient.reverse(b, w);
        }
        gradients(gradient, problem, t, r, w);
      }
      for (int b = 0; b < layout.blocks(); b++) {
        addReverse(gradient, problem, b);
      }
    }
  }

  /// R and W of some column blocks of one head.
  private void columns(int worker, int index) {
    int problem = index / layout.tasksPerHead();
    int firstBlock = index % layout.tasksPerHead() * layout.blocksPerTask();
    int endBlock = Math.min(layout.blocks(), firstBlock + layout.blocksPerTask());
    ChunkGradient gradient = start(worker, problem);
    for (int b = firstBlock; b < endBlock; b++) {
      loadReverse(gradient, problem, b);
    }
    for (int t = lastChunk(); t >= 0; t -= layout.chunk()) {
      rows(gradient, problem, t);
      for (int b = firstBlock; b < endBlock; b++) {
        gradient.saveReverse(b, kept.stateAt(problem, t));
        gradient.reverse(b, valueRow(problem, t));
      }
    }
    for (int b = firstBlock; b < endBlock; b++) {
      addReverse(gradient, problem, b);
    }
  }

  /// The gradients of some chunks of the heads that share queries and keys.
  private void chunks(int worker, int index) {
    int unit = index / chunkGroups();
    int first = index % chunkGroups() * CHUNKS_PER_TASK;
    int end = Math.min(layout.chunks(), first + CHUNKS_PER_TASK);
    for (int problem = unit * sharing; problem < (unit + 1) * sharing; problem++) {
      ChunkGradient gradient = start(worker, problem);
      for (int c = first; c < end; c++) {
        int t = c * layout.chunk();
        rows(gradient, problem, t);
        gradients(gradient, problem, t, kept.stateAt(problem, t), valueRow(problem, t));
      }
    }
  }

  private void gradients(ChunkGradient gradient, int problem, int t, int r, int w) {
    gradient.gradients(
        kept.stateAt(problem, t),
        t > 0 || tensors.startsFromState,
        r,
        valueRow(problem, t),
        w,
        queryRow(problem, t),
        keyRow(problem, t),
        problem * layout.chunks() + t / layout.chunk());
  }
}
