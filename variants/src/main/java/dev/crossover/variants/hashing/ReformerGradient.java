// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.hashing;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.GradientKeys;
import dev.crossover.attention.kernel.GradientTile;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.select.IntervalGradient;
import dev.crossover.attention.tensor.Tensor;
import java.util.Arrays;

/// The backward pass of [Reformer]: round by round the chunks of the forward pass, then through the
/// normalisation of the keys.
final class ReformerGradient extends DifferentiablePlan {
  private final Kernels kernels = Kernels.get();
  private final Reformer attention;
  private final ReformerPlan forward;
  private final ReformerChunks chunks;
  private final float[] lse;
  private final float[] gradKeys;
  private final Rounds rounds;
  private final Workers.Task normalise = this::normalise;

  ReformerGradient(PlanRequest request, Reformer attention) {
    super(request);
    this.attention = attention;
    lse = kept.floats((long) shape.problems() * shape.keySeqLen());
    forward = new ReformerPlan(request, attention, lse);
    scratch.include(forward.scratchBytes());
    chunks = forward.chunks();
    gradKeys = scratch.floats((long) shape.problems() * shape.keySeqLen() * shape.headDim());
    rounds = new Rounds(request, scratch);
  }

  static GradientCost cost(Reformer attention, AttentionShape s, double pairs, int threads) {
    long tokens = (long) s.problems() * s.keySeqLen();
    int rows = rows(attention);
    boolean pairwise = attention.sameBucketOnly() || attention.discountDuplicates();
    long perThread = starts(attention, s) + (pairwise ? (long) rows * attention.chunkLength() : 0);
    return new GradientCost(
        IntervalGradient.flops(s, pairs),
        Float.BYTES * tokens,
        ReformerPlan.scratchBytes(attention, s, threads)
            + Float.BYTES * tokens * s.headDim()
            + IntervalGradient.bytes(s, threads, maxKeys(attention, s), rows)
            + threads * perThread * Float.BYTES);
  }

  private static int rows(Reformer attention) {
    return Math.min(attention.chunkLength(), GradientTile.preferredRows());
  }

  /// Chunks that the queries of a round look at, and one more.
  private static int starts(Reformer attention, AttentionShape s) {
    int perRound = Math.ceilDiv(s.keySeqLen(), attention.chunkLength());
    return perRound + attention.chunksBefore() + attention.chunksAfter() + 1;
  }

  private static int maxKeys(Reformer attention, AttentionShape s) {
    return Math.multiplyExact(starts(attention, s) - 1, attention.chunkLength());
  }

  @Override
  protected void compute(Tensor output) {
    runNested(forward, output, Tensors.NONE);
  }

  @Override
  protected void differentiate(float[] gradOut) {
    Arrays.fill(gradKeys, 0);
    rounds.bind(input("qk"), forward.keys(), input("v"), output(), lse);
    for (rounds.round = 0; rounds.round < attention.numHashes(); rounds.round++) {
      rounds.run(gradOut, wanted("qk"), gradKeys, wanted("v"));
    }
    workers.run(shape.problems(), normalise);
  }

  /// From ∂k̂ to ∂x; and ∂v of tokens that see only themselves, whose weight is 1.
  private void normalise(int worker, int problem) {
    int n = shape.keySeqLen();
    int d = shape.headDim();
    int dv = shape.valueDim();
    float[] x = input("qk");
    float[] keys = forward.keys();
    float[] gradX = wanted("qk");
    float[] gradValue = wanted("v");
    for (int t = 0; t < n; t++) {
      if (!mask.isRealKey(problem / shape.numHeads(), t)) {
        continue;
      }
      int row = problem * n + t;
      if (gradX != null) {
        int o = row * d;
        double squares = kernels.dot(d, x, o, x, o);
        float inverse = (float) attention.keyFactor(squares, d);
        kernels.axpy(d, inverse, gradKeys, o, gradX, o);
        if (!attention.isKeyFactorConstant(squares)) {
          float along = kernels.dot(d, keys, o, gradKeys, o);
          kernels.axpy(d, -inverse * along, keys, o, gradX, o);
        }
      }
      if (gradValue != null && forward.sawOnlyItself(row)) {
        kernels.add(dv, gradValue, row * dv, gradOut, row * dv, gradValue, row * dv);
      }
    }
  }

  /// The queries of one round: positions are the real slots of the chunks they look at.
  private final class Rounds extends IntervalGradient {
    private final int chunk = attention.chunkLength();
    private final int most = rows(attention);
    private final int blocksPerChunk = Math.ceilDiv(chunk, most);
    private final int[][] starts;
    private final float[][] bias;
    private int round;

    Rounds(PlanRequest request, Scratch scratch) {
      super(
          request.shape(),
          request.threads(),
          attention.scaleFor(request.shape()),
          scratch,
          maxKeys(attention, request.shape()),
          rows(attention),
          false);
      starts = new int[request.threads()][];
      bias = new float[request.threads()][];
      for (int t = 0; t < starts.length; t++) {
        starts[t] = scratch.ints(starts(attention, request.shape()));
        bias[t] = scratch.floats(chunks.pairwise() ? (long) most * chunk : 0);
      }
    }

    @Override
    protected void addKeys(int worker, GradientKeys keys, int batch, int head) {
      int problem = batch * shape.numHeads() + head;
      int first = round * chunks.perRound();
      int looked = chunks.perRound() == 0 ? 0 : chunks.perRound() + chunks.seen() - 1;
      for (int k = 0; k < looked; k++) {
        int c = chunks.neighbour(first, k);
        starts[worker][k] = keys.positions();
        keys.add(chunks.order(), chunks.slots(problem) + c * chunk, chunks.realIn(problem, c));
      }
      starts[worker][looked] = keys.positions();
    }

    @Override
    protected int blocks(int head) {
      return chunks.perRound() * blocksPerChunk;
    }

    @Override
    protected void block(
        int worker, GradientTile tile, GradientKeys keys, int batch, int head, int block) {
      int problem = batch * shape.numHeads() + head;
      int inRound = block / blocksPerChunk;
      int c = round * chunks.perRound() + inRound;
      int from = block % blocksPerChunk * most;
      int count = Math.min(most, chunks.realIn(problem, c) - from);
      if (count <= 0) {
        return;
      }
      tile.rows(chunks.order(), chunks.slots(problem) + c * chunk + from, count);
      for (int k = 0; k < chunks.seen(); k++) {
        int other = chunks.neighbour(c, k);
        int base = starts[worker][inRound + k];
        if (chunks.pairwise()) {
          int end = starts[worker][inRound + k + 1];
          chunks.pairBias(problem, c, from, count, other, bias[worker]);
          for (int r = 0; r < count; r++) {
            tile.see(r, base, end);
          }
          tile.attendBiased(keys, base, end, bias[worker], 0, chunk);
        } else {
          for (int side = 0; side < 2; side++) {
            chunks.see(tile, problem, c, from, count, other, base, side == 0);
            tile.attend(keys);
          }
        }
      }
    }
  }
}
