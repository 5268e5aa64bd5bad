// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.recurrent;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.BoundTensors;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.recurrent.LevelStates;
import dev.crossover.attention.recurrent.UpdateRule;
import dev.crossover.attention.tensor.Tensor;
import java.util.Arrays;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/// [LogLinear] with its backward pass, which keeps nothing: one pass over the chunks from the first
/// to the last forms the states anew and all that rows say of them, one from the last to the first
/// what later rows say of the keys.
///
/// With G the gradients of a chunk's outputs, S⁽ᵇ⁾ the states before it and R⁽ᵇ⁾ their gradients:
///
/// ```
/// forth   h_t = exp(c_t) S⁽ᵇ⁾ g_t,   dq_t += scale λ_t h_t,   dλ_t = scale q_t·h_t
/// back    dk_j += exp(c_last − c_j) ΣR v_j,   dv_j += exp(c_last − c_j) ΣRᵀ k_j      levels whose bit is clear
///         R⁽ᵇ⁾ ← exp(c_last) R⁽ᵇ⁾ + Σ_t λ_t exp(c_t) scale q_t g_tᵀ                    levels whose bit is set
/// ```
///
/// Inside the chunk from dA = G Vᵀ. The gradient of log_decay at t is what passes from keys before
/// t to rows from t on: sums over rows less sums over keys, pairs of a chunk with the very same
/// number in both. Parallel over heads.
final class LogLinearDifferentiable extends DifferentiablePlan {
  private final Passes passes;

  LogLinearDifferentiable(PlanRequest request, LogLinear attention) {
    super(request);
    passes = new Passes(attention, shape, mask, workers, scratch);
  }

  @Override
  protected void compute(Tensor output) {
    passes.forward.run(inputs(), output.data());
  }

  @Override
  protected void differentiate(float[] gradOut) {
    passes.run(inputs(), gradOut, gradients());
  }

  /// Both passes and all they allocate.
  static final class Passes {
    private final Kernels kernels = Kernels.get();
    private final AttentionShape shape;
    private final Workers workers;
    private final LogLinearPlan.Forward forward;
    private final float scale;
    private final int n;
    private final int d;
    private final int dv;
    private final int chunks;
    private final Buffers[] buffers;
    private final Workers.Task head = this::head;
    private @Nullable BoundTensors inputs;
    private float[] gradOut = UpdateRule.UNWANTED;
    private float[] gradQ = UpdateRule.UNWANTED;
    private float[] gradK = UpdateRule.UNWANTED;
    private float[] gradV = UpdateRule.UNWANTED;
    private float[] gradDecay = UpdateRule.UNWANTED;
    private float[] gradLevels = UpdateRule.UNWANTED;

    /// Scratch of one worker.
    private static final class Buffers {
      private final LevelStates states;
      private final float[] sum;
      private final float[] pairs;
      private final float[] ofQueries;
      private final float[] ofKeys;
      private final float[] ofValues;
      private final float[] read;
      private final double[] crossing;
      private final float[] work;

      Buffers(AttentionShape s, int chunks, int length, Scratch scratch) {
        int d = s.headDim();
        int dv = s.valueDim();
        states = new LevelStates(chunks, d * dv, scratch);
        sum = scratch.floats((long) d * dv);
        pairs = scratch.floats((long) length * length);
        ofQueries = scratch.floats((long) length * d);
        ofKeys = scratch.floats((long) length * d);
        ofValues = scratch.floats((long) length * dv);
        read = scratch.floats((long) length * d);
        crossing = scratch.doubles(s.querySeqLen());
        work = scratch.floats(Kernels.get().transposedBScratch(Math.max(length, d), dv));
      }
    }

    Passes(LogLinear attention, AttentionShape s, Mask mask, Workers workers, Scratch scratch) {
      shape = s;
      this.workers = workers;
      forward = new LogLinearPlan.Forward(attention, s, mask, workers, scratch);
      scale = (float) attention.scale();
      n = s.querySeqLen();
      d = s.headDim();
      dv = s.valueDim();
      int length = attention.chunk(s);
      chunks = Math.ceilDiv(n, length);
      buffers = new Buffers[workers.threads()];
      for (int w = 0; w < buffers.length; w++) {
        buffers[w] = new Buffers(s, chunks, length, scratch);
      }
    }

    void run(BoundTensors bound, float[] upstream, BoundTensors places) {
      inputs = bound;
      gradOut = upstream;
      gradQ = States.place(places, "q");
      gradK = States.place(places, "k");
      gradV = States.place(places, "v");
      gradDecay = States.place(places, "log_decay");
      gradLevels = States.place(places, "level_scales");
      workers.run(shape.problems(), head);
    }

    private void head(int worker, int problem) {
      Buffers own = buffers[worker];
      LogLinearChunk chunk = forward.chunk(worker);
      BoundTensors bound = Objects.requireNonNull(inputs);
      Arrays.fill(own.crossing, 0);
      for (int m = 0; m < chunks; m++) {
        chunk.take(bound, problem, m * chunk.length);
        within(chunk, own);
        readStates(chunk, own);
        addQueries(chunk, own);
        addKeys(chunk, own);
        if (m < chunks - 1) {
          chunk.write(own.states, 0, dv);
        }
      }
      own.states.clear();
      for (int m = chunks - 1; m >= 0; m--) {
        chunk.take(bound, problem, m * chunk.length);
        fromLater(chunk, own);
        collect(chunk, own);
      }
      addDecays(problem, own.crossing);
    }

    /// What rows and keys of the chunk say of each other; overwrites the gradients in `own`.
    private void within(LogLinearChunk chunk, Buffers own) {
      int count = chunk.count;
      int length = chunk.length;
      int go = chunk.row * dv;
      chunk.products();
      kernels.multiplyTransposedBLower(
          1,
          count,
          count,
          dv,
          gradOut,
          go,
          dv,
          chunk.values,
          0,
          dv,
          own.pairs,
          0,
          length,
          own.work,
          0);
      for (int i = 0; i < count; i++) {
        chunk.decay(i, chunk.scores);
        addLevels(chunk, i, own.pairs);
        chunk.scaleLevels(i, chunk.scores);
        cross(chunk, i, own);
        chunk.decay(i, own.pairs);
        chunk.scaleLevels(i, own.pairs);
      }
      kernels.multiplyTransposedLower(
          count, dv, chunk.scores, 0, length, gradOut, go, dv, own.ofValues, 0, dv, false);
      kernels.multiplyLower(
          count, d, count, 0, own.pairs, 0, length, chunk.keys, 0, d, own.ofQueries, 0, d, false);
      kernels.multiplyTransposedLower(
          count, d, own.pairs, 0, length, chunk.queries, 0, d, own.ofKeys, 0, d, false);
    }

    /// dλ of the levels inside the chunk: the sum of dA over a level's keys, each times its product
    /// and decay.
    private void addLevels(LogLinearChunk chunk, int i, float[] pairs) {
      if (gradLevels.length == 0) {
        return;
      }
      int at = i * chunk.length;
      gradLevels[chunk.levelAt(i, 0)] += pairs[at + i] * chunk.scores[at + i];
      for (int l = 1; l <= chunk.innerLevels(); l++) {
        int run = chunk.run(i, l);
        if (run >= 0) {
          gradLevels[chunk.levelAt(i, l)] +=
              kernels.dot(1 << (l - 1), pairs, at + run, chunk.scores, at + run);
        }
      }
    }

    /// Adds dA A to row i and takes it from key j.
    private void cross(LogLinearChunk chunk, int i, Buffers own) {
      int at = i * chunk.length;
      int t = chunk.number() * chunk.length;
      double sum = 0;
      for (int j = 0; j < i; j++) {
        double product = (double) own.pairs[at + j] * chunk.scores[at + j];
        sum += product;
        own.crossing[t + j] -= product;
      }
      own.crossing[t + i] += sum;
    }

    /// What rows say of the states before the chunk, but for the states themselves.
    private void readStates(LogLinearChunk chunk, Buffers own) {
      int t = chunk.number() * chunk.length;
      for (int b = 0; chunk.number() >> b != 0; b++) {
        if (!LevelStates.reads(chunk.number(), b)) {
          continue;
        }
        kernels.multiplyTransposedB(
            chunk.count,
            d,
            dv,
            gradOut,
            chunk.row * dv,
            dv,
            own.states.data(),
            own.states.at(b),
            dv,
            own.read,
            0,
            d,
            false,
            own.work,
            0);
        for (int i = 0; i < chunk.count; i++) {
          int level = chunk.outerLevel(b);
          float product = chunk.entering[i] * kernels.dot(d, chunk.queries, i * d, own.read, i * d);
          float weight = chunk.levelScale(i, level);
          kernels.axpy(d, weight * chunk.entering[i], own.read, i * d, own.ofQueries, i * d);
          own.crossing[t + i] += (double) weight * product;
          if (gradLevels.length > 0) {
            gradLevels[chunk.levelAt(i, level)] += product;
          }
        }
      }
    }

    /// What later chunks say of the keys and values; overwrites the gradients in `own`.
    private void fromLater(LogLinearChunk chunk, Buffers own) {
      if (!own.states.collected(chunk.number(), own.sum)) {
        return;
      }
      int count = chunk.count;
      kernels.multiplyTransposedB(
          count, d, dv, chunk.values, 0, dv, own.sum, 0, dv, own.ofKeys, 0, d, false, own.work, 0);
      kernels.scaleRows(count, d, chunk.leaving, 0, own.ofKeys, 0, d, own.ofKeys, 0, d);
      kernels.multiply(
          count, dv, d, chunk.departed, 0, d, own.sum, 0, dv, own.ofValues, 0, dv, false);
      int t = chunk.number() * chunk.length;
      for (int j = 0; j < count; j++) {
        own.crossing[t + j] -= kernels.dot(d, chunk.keys, j * d, own.ofKeys, j * d);
      }
      addKeys(chunk, own);
    }

    /// The rows join the gradients of the states they read.
    private void collect(LogLinearChunk chunk, Buffers own) {
      own.states.pass(chunk.number(), chunk.total());
      for (int b = 0; chunk.number() >> b != 0; b++) {
        if (LevelStates.reads(chunk.number(), b)) {
          chunk.carry(b);
          kernels.multiplyTransposedA(
              d,
              dv,
              chunk.count,
              chunk.carried,
              0,
              d,
              gradOut,
              chunk.row * dv,
              dv,
              own.states.data(),
              own.states.at(b),
              dv,
              true);
        }
      }
    }

    private void addQueries(LogLinearChunk chunk, Buffers own) {
      if (gradQ.length > 0) {
        kernels.axpy(chunk.count * d, scale, own.ofQueries, 0, gradQ, chunk.row * d);
      }
    }

    private void addKeys(LogLinearChunk chunk, Buffers own) {
      for (int j = 0; j < chunk.count; j++) {
        if (!chunk.isReal(j)) {
          continue;
        }
        int key = (chunk.row + j) * d;
        int value = (chunk.row + j) * dv;
        if (gradK.length > 0) {
          kernels.add(d, gradK, key, own.ofKeys, j * d, gradK, key);
        }
        if (gradV.length > 0) {
          kernels.add(dv, gradV, value, own.ofValues, j * dv, gradV, value);
        }
      }
    }

    /// The decay goes on at padded positions, and so does its gradient.
    private void addDecays(int problem, double[] crossing) {
      double sum = 0;
      for (int t = n - 1; t >= 0 && gradDecay.length > 0; t--) {
        sum += crossing[t];
        gradDecay[problem * n + t] += (float) sum;
      }
    }
  }
}
