// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.feature;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.BoundTensors;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.tensor.Tensor;
import java.util.Arrays;

/// The quadratic form of [Power] with its backward pass, from the inverse sums of all rows.
///
/// With g the gradient of a row, o its output and 1/z its inverse sum, j* the key of its largest
/// weight:
///
/// ```
/// dw_ij = (g_i·v_j − g_i·o_i (1 + eps [j = j*])) / z_i
/// ds_ij = dw_ij p x_ij^(p − 1) exp(c_r − c_j),    dq_i = scale Σ_j ds_ij k_j,   dk_j = scale Σ_i ds_ij q_i
/// dv_j  = Σ_i w_ij g_i / z_i,   dc_j = −Σ_i dw_ij w_ij,   dlog_decay_t = Σ_{j ≥ t} dc_j
/// ```
///
/// The sums over a row's dw w are zero: adding to c_i changes nothing, so c_j counts as a key's.
///
/// Where there are many key/value heads, a task takes one of them; where there are few, queries get
/// their gradients in parallel over blocks of rows, and keys theirs over blocks of keys.
final class PowerDifferentiable extends DifferentiablePlan {
  private static final int MANY_HEADS = 8;

  private final Passes passes;

  PowerDifferentiable(PlanRequest request, Power power) {
    super(request);
    passes = new Passes(power, shape, mask, workers, scratch, kept);
  }

  @Override
  protected void compute(Tensor output) {
    passes.forward.run(inputs(), output.data());
  }

  @Override
  protected void differentiate(float[] gradOut) {
    passes.run(inputs(), output(), gradOut, gradients());
  }

  /// Both passes and all they allocate.
  static final class Passes {
    private static final int BLOCK = PowerTile.BLOCK;
    private static final float[] UNWANTED = new float[0];

    private final PowerForward forward;
    private final AttentionShape shape;
    private final Mask mask;
    private final Workers workers;
    private final Kernels kernels = Kernels.get();
    private final float eps;
    private final int n;
    private final int blocks;
    private final float[][] pairs;
    private final float[][] columns;
    private final float[] ofOutputs;
    private final double[] ofKeys;
    private final Workers.Task rows = this::rows;
    private final Workers.Task heads = this::heads;
    private final Workers.Task queries = this::queries;
    private final Workers.Task keys = this::keys;
    private final Workers.Task decaying = this::decays;
    private float[] q = UNWANTED;
    private float[] k = UNWANTED;
    private float[] v = UNWANTED;
    private float[] out = UNWANTED;
    private float[] gradOut = UNWANTED;
    private float[] gradQ = UNWANTED;
    private float[] gradK = UNWANTED;
    private float[] gradV = UNWANTED;
    private float[] gradDecay = UNWANTED;

    Passes(
        Power power,
        AttentionShape shape,
        Mask mask,
        Workers workers,
        Scratch scratch,
        Scratch kept) {
      this.shape = shape;
      this.mask = mask;
      this.workers = workers;
      eps = (float) power.eps();
      n = shape.querySeqLen();
      blocks = Math.ceilDiv(n, BLOCK);
      forward = new PowerForward(power, shape, mask, workers, scratch, kept);
      pairs = new float[workers.threads()][];
      columns = new float[workers.threads()][];
      for (int w = 0; w < pairs.length; w++) {
        pairs[w] = scratch.floats(BLOCK * BLOCK);
        columns[w] = scratch.floats(BLOCK);
      }
      ofOutputs = scratch.floats((long) shape.problems() * n);
      ofKeys = scratch.doubles((long) keyHeads() * n);
    }

    private int keyHeads() {
      return shape.batchSize() * shape.numKeyValueHeads();
    }

    /// Whether a task takes a whole key/value head.
    static boolean whole(AttentionShape shape) {
      return shape.batchSize() * shape.numKeyValueHeads() >= MANY_HEADS;
    }

    void run(BoundTensors inputs, float[] output, float[] upstream, BoundTensors places) {
      forward.bind(inputs);
      q = inputs.get("q");
      k = inputs.get("k");
      v = inputs.get("v");
      out = output;
      gradOut = upstream;
      gradQ = place(places, "q");
      gradK = place(places, "k");
      gradV = place(places, "v");
      gradDecay = place(places, "log_decay");
      Arrays.fill(ofKeys, 0);
      workers.run(shape.problems(), rows);
      if (whole(shape)) {
        workers.run(keyHeads(), heads);
      } else {
        workers.run(gradQ.length > 0 ? shape.problems() * blocks : 0, queries);
        workers.run(keyHeads() * blocks, keys);
      }
      workers.run(gradDecay.length > 0 ? keyHeads() : 0, decaying);
    }

    private static float[] place(BoundTensors places, String input) {
      return places.has(input) ? places.get(input) : UNWANTED;
    }

    /// g_i · o_i, 0 for rows that are zero.
    private void rows(int worker, int problem) {
      int dv = shape.valueDim();
      for (int row = problem * n; row < (problem + 1) * n; row++) {
        boolean seen = forward.inverses[row] != 0;
        ofOutputs[row] = seen ? kernels.dot(dv, gradOut, row * dv, out, row * dv) : 0;
      }
    }

    private void heads(int worker, int keyHead) {
      for (int key = 0; key < n; key += BLOCK) {
        takeKeys(worker, keyHead, key, true);
      }
    }

    private void keys(int worker, int index) {
      takeKeys(worker, index / blocks, index % blocks * BLOCK, false);
    }

    /// A block of keys against all rows that see one of them.
    private void takeKeys(int worker, int keyHead, int key, boolean both) {
      PowerTile tile = forward.tile(worker);
      if (!tile.take(keyHead, key, k, v)) {
        return;
      }
      int group = shape.groupSize();
      for (int problem = keyHead * group; problem < (keyHead + 1) * group; problem++) {
        for (int first = key; first < n; first += BLOCK) {
          pair(worker, problem, first);
          if (both) {
            addQueries(tile, problem);
          }
          addKeys(tile, keyHead, problem, pairs[worker], columns[worker]);
        }
      }
    }

    private void queries(int worker, int index) {
      int problem = index / blocks;
      int first = index % blocks * BLOCK;
      PowerTile tile = forward.tile(worker);
      for (int key = 0; key <= first; key += BLOCK) {
        if (tile.take(tile.keyHeadOf(problem), key, k, v)) {
          pair(worker, problem, first);
          addQueries(tile, problem);
        }
      }
    }

    /// dw w, in `pairs`, ds in the tile's bases, and w / z in its weights.
    private void pair(int worker, int problem, int first) {
      PowerTile tile = forward.tile(worker);
      float[] pair = pairs[worker];
      tile.weigh(problem, first, q);
      tile.slopes();
      int dv = shape.valueDim();
      int row = problem * n + first;
      tile.products(dv, gradOut, row * dv, tile.values, tile.valueOffset, pair);
      for (int r = 0; r < tile.rows; r++) {
        int at = r * BLOCK;
        int limit = tile.limit(r);
        float inverse = forward.inverses[row + r];
        if (inverse == 0) {
          Arrays.fill(pair, at, at + limit, 0);
          Arrays.fill(tile.bases, at, at + limit, 0);
          Arrays.fill(tile.weights, at, at + limit, 0);
          continue;
        }
        float ofSum = inverse * ofOutputs[row + r];
        kernels.quadratic(limit, 0, inverse, -ofSum, pair, at);
        if (eps > 0) {
          int peak = forward.peaks[row + r] - tile.firstKey;
          if (peak >= 0 && peak < limit) {
            pair[at + peak] -= eps * ofSum;
          }
        }
        kernels.multiplyElements(limit, tile.bases, at, pair, at, tile.bases, at);
        kernels.multiplyElements(limit, pair, at, tile.weights, at, pair, at);
        kernels.scale(limit, inverse, tile.weights, at, tile.weights, at);
      }
    }

    private void addQueries(PowerTile tile, int problem) {
      if (gradQ.length > 0) {
        int d = shape.headDim();
        int to = (problem * n + tile.firstRow) * d;
        tile.addToRows(d, tile.bases, tile.keys, tile.keyOffset, gradQ, to);
      }
    }

    private void addKeys(PowerTile tile, int keyHead, int problem, float[] pair, float[] column) {
      int row = problem * n + tile.firstRow;
      int key = keyHead * n + tile.firstKey;
      int d = shape.headDim();
      int dv = shape.valueDim();
      if (gradK.length > 0) {
        tile.addToKeys(d, tile.bases, q, row * d, gradK, key * d);
      }
      if (gradV.length > 0) {
        tile.addToKeys(dv, tile.weights, gradOut, row * dv, gradV, key * dv);
      }
      if (gradDecay.length > 0) {
        Arrays.fill(column, 0);
        for (int r = 0; r < tile.rows; r++) {
          kernels.add(tile.limit(r), column, 0, pair, r * BLOCK, column, 0);
        }
        for (int j = 0; j < tile.count; j++) {
          ofKeys[key + j] -= column[j];
        }
      }
    }

    /// The sums of dc from each position on.
    private void decays(int worker, int keyHead) {
      double sum = 0;
      for (int row = (keyHead + 1) * n - 1; row >= keyHead * n; row--) {
        boolean real = mask.isRealKey(keyHead / shape.numKeyValueHeads(), row % n);
        sum += real ? ofKeys[row] : 0;
        gradDecay[row] += (float) sum;
      }
    }
  }
}
