// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.recurrent;

import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.BoundTensors;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.recurrent.LevelStates;
import dev.crossover.attention.tensor.Tensor;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/// [LogLinear] over whole sequences, chunk after chunk.
///
/// Parallel over heads and, where these are few, over blocks of value columns.
final class LogLinearPlan extends AttentionPlan {
  private final Forward forward;

  LogLinearPlan(PlanRequest request, LogLinear attention) {
    super(request);
    forward = new Forward(attention, shape, mask, workers, scratch);
  }

  @Override
  protected void compute(Tensor output) {
    forward.run(inputs(), output.data());
  }

  /// The pass and all it allocates.
  static final class Forward {
    private static final int MANY_HEADS = 8;

    private final Kernels kernels = Kernels.get();
    private final AttentionShape shape;
    private final Workers workers;
    private final int chunks;
    private final int columns;
    private final LogLinearChunk[] rows;
    private final LevelStates[] states;
    private final Workers.Task task = this::task;
    private @Nullable BoundTensors inputs;
    private float[] out = new float[0];

    Forward(
        LogLinear attention, AttentionShape shape, Mask mask, Workers workers, Scratch scratch) {
      this.shape = shape;
      this.workers = workers;
      int length = attention.chunk(shape);
      chunks = Math.ceilDiv(shape.querySeqLen(), length);
      columns = columns(shape);
      rows = new LogLinearChunk[workers.threads()];
      states = new LevelStates[workers.threads()];
      for (int w = 0; w < rows.length; w++) {
        rows[w] =
            new LogLinearChunk(
                shape, mask, attention.scale(), attention.levelCount(), length, scratch);
        states[w] = new LevelStates(chunks, shape.headDim() * columns, scratch);
      }
    }

    /// Value columns of a task.
    static int columns(AttentionShape shape) {
      int most = shape.problems() >= MANY_HEADS ? shape.valueDim() : 64;
      return Math.min(shape.valueDim(), shape.problems() == 1 ? 32 : most);
    }

    LogLinearChunk chunk(int worker) {
      return rows[worker];
    }

    void run(BoundTensors bound, float[] output) {
      inputs = bound;
      out = output;
      workers.run(shape.problems() * Math.ceilDiv(shape.valueDim(), columns), task);
    }

    /// Some value columns of a head.
    private void task(int worker, int index) {
      int blocks = Math.ceilDiv(shape.valueDim(), columns);
      int problem = index / blocks;
      int column = index % blocks * columns;
      int width = Math.min(columns, shape.valueDim() - column);
      LogLinearChunk chunk = rows[worker];
      BoundTensors bound = Objects.requireNonNull(inputs);
      for (int m = 0; m < chunks; m++) {
        chunk.take(bound, problem, m * chunk.length);
        chunk.products();
        for (int i = 0; i < chunk.count; i++) {
          chunk.decay(i, chunk.scores);
          chunk.scaleLevels(i, chunk.scores);
        }
        within(chunk, column, width);
        before(chunk, states[worker], column, width);
        if (m < chunks - 1) {
          chunk.write(states[worker], column, width);
        }
      }
    }

    /// What rows take from keys of their chunk.
    private void within(LogLinearChunk chunk, int column, int width) {
      int dv = shape.valueDim();
      kernels.multiplyLower(
          chunk.count,
          width,
          chunk.count,
          0,
          chunk.scores,
          0,
          chunk.length,
          chunk.values,
          column,
          dv,
          out,
          chunk.row * dv + column,
          dv,
          false);
    }

    /// What rows take from the states of all levels.
    private void before(LogLinearChunk chunk, LevelStates levels, int column, int width) {
      int d = shape.headDim();
      int dv = shape.valueDim();
      for (int b = 0; chunk.number() >> b != 0; b++) {
        if (LevelStates.reads(chunk.number(), b)) {
          chunk.carry(b);
          kernels.multiply(
              chunk.count,
              width,
              d,
              chunk.carried,
              0,
              d,
              levels.data(),
              levels.at(b),
              width,
              out,
              chunk.row * dv + column,
              dv,
              true);
        }
      }
    }
  }
}
