// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.lowrank;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.Workers;
import dev.crossover.attention.exact.TiledBackward;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.variants.lowrank.Linformer.Projection;
import java.util.Arrays;

/// [Linformer] with its backward pass: that of exact attention to the slots, then through the
/// projections. What several batch entries or heads share is summed in their order.
final class LinformerDifferentiable extends DifferentiablePlan {
  private static final int SLOTS = 64;
  private static final int POSITIONS = LinformerPlan.POSITIONS;

  private final Linformer linformer;
  private final Kernels kernels = Kernels.get();
  private final LinformerPlan forward;
  private final TiledBackward backward;
  private final int nk = shape.keySeqLen();
  private final int slots;
  private final int owners;
  private final int keyHeads = shape.numKeyValueHeads();
  private final int blocks = Math.ceilDiv(nk, POSITIONS);
  private final float[] lse;
  private final float[] gradQueries;
  private final float[] gradFilter;
  private final float[][] part = new float[threads()][];
  private final float[][] work = new float[threads()][];
  private final Side key;
  private final Side value;

  LinformerDifferentiable(Linformer linformer, PlanRequest request) {
    super(request);
    this.linformer = linformer;
    slots = linformer.slots(shape);
    owners = linformer.owners(shape);
    lse = kept.floats((long) shape.problems() * shape.querySeqLen());
    forward = new LinformerPlan(linformer, request, kept, lse);
    scratch.include(forward.scratchBytes());
    backward =
        new TiledBackward(
            toSlots(linformer, shape),
            Mask.none(),
            threads(),
            Attention.defaultScale(shape),
            false,
            scratch);
    gradQueries = scratch.floats((long) lse.length * shape.headDim());
    int widest = widest(shape);
    gradFilter = scratch.floats(linformer.filterSize(shape, widest));
    for (int t = 0; t < threads(); t++) {
      part[t] = scratch.floats((long) SLOTS * widest);
      work[t] = scratch.floats(work(widest));
    }
    key = new Side("k", "key_projection", "key_conv", shape.headDim(), forward.keyFilter);
    boolean own = linformer.ownValueProjection();
    String matrix = own ? "value_projection" : "key_projection";
    value = new Side("v", matrix, "value_conv", shape.valueDim(), forward.valueFilter);
  }

  static GradientCost cost(Linformer linformer, AttentionShape s, Mask mask, int threads) {
    AttentionShape toSlots = toSlots(linformer, s);
    long rows = (long) s.problems() * s.querySeqLen();
    long slotFloats =
        (long) s.batchSize()
            * linformer.owners(s)
            * linformer.slots(s)
            * (s.headDim() + s.valueDim());
    long floats =
        rows * s.headDim()
            + slotFloats
            + linformer.filterSize(s, widest(s))
            + threads * ((long) SLOTS * widest(s) + work(widest(s)));
    long forward = linformer.cost(s, mask, threads).scratchBytes() - Float.BYTES * slotFloats;
    return new GradientCost(
        TiledBackward.flops(toSlots, Mask.none()) + 2 * linformer.projectionFlops(s),
        Float.BYTES * (rows + slotFloats),
        forward + TiledBackward.bytes(toSlots, Mask.none(), threads, false) + Float.BYTES * floats);
  }

  private static int widest(AttentionShape s) {
    return Math.max(s.headDim(), s.valueDim());
  }

  private static int work(int widest) {
    return Kernels.get().transposedBScratch(Math.max(POSITIONS, widest), widest);
  }

  /// Sizes of the attention of queries to slots.
  private static AttentionShape toSlots(Linformer linformer, AttentionShape s) {
    return new AttentionShape(
        s.batchSize(),
        s.numHeads(),
        linformer.owners(s),
        s.querySeqLen(),
        linformer.slots(s),
        s.headDim(),
        s.headDim(),
        s.valueDim());
  }

  @Override
  protected void compute(Tensor output) {
    runNested(forward, output, Tensors.NONE);
  }

  @Override
  protected void differentiate(float[] gradOut) {
    backward.bind(input("q"), forward.projectedKeys, forward.projectedValues, output(), lse);
    backward.run(gradOut, gradQueries, key.gradSlots, value.gradSlots);
    if (wantsGradient("q")) {
      float[] sum = gradient("q");
      kernels.add(sum.length, sum, 0, gradQueries, 0, sum, 0);
    }
    key.differentiate();
    value.differentiate();
  }

  /// What happens to keys, and alike to values.
  private final class Side {
    private final String rows;
    private final String matrix;
    private final String weight;
    private final String bias;
    private final int width;
    private final float[] filter;
    private final float[] gradSlots;
    private final Workers.Task learnedRows = this::learnedRows;
    private final Workers.Task learnedMatrix = this::learnedMatrix;
    private final Workers.Task pool = this::pool;
    private final Workers.Task convolutionRows = this::convolutionRows;
    private final Workers.Task convolutionTap = this::convolutionTap;

    Side(String rows, String matrix, String convolution, int width, float[] filter) {
      this.rows = rows;
      this.matrix = matrix;
      weight = convolution + "_weight";
      bias = convolution + "_bias";
      this.width = width;
      this.filter = filter;
      gradSlots = scratch.floats((long) shape.batchSize() * owners * slots * width);
    }

    void differentiate() {
      int heads = shape.batchSize() * keyHeads;
      switch (linformer.projection()) {
        case LEARNED -> {
          if (wantsGradient(rows)) {
            workers.run(heads * blocks, learnedRows);
          }
          if (wantsGradient(matrix)) {
            workers.run((linformer.perHead() ? owners : 1) * blocks, learnedMatrix);
          }
        }
        case MEAN_POOL, MAX_POOL -> {
          if (wantsGradient(rows)) {
            workers.run(heads, pool);
          }
        }
        case CONVOLUTION -> {
          if (wantsGradient(rows)) {
            workers.run(heads, convolutionRows);
          }
          if (wantsGradient(weight)) {
            workers.run(linformer.taps(shape), convolutionTap);
          }
          if (wantsGradient(bias)) {
            convolutionBias();
          }
        }
      }
    }

    /// First element of the slots of an owner of a batch entry.
    private int slotsAt(int batch, int owner) {
      return (batch * owners + owner) * slots * width;
    }

    /// First element of the rows that an owner of a batch entry projects.
    private int rowsAt(int batch, int owner) {
      return (batch * keyHeads + owner / (owners / keyHeads)) * nk * width;
    }

    /// ∂K = Eᵀ ∂K̄ of one block of positions of one head, over the heads that share its rows.
    private void learnedRows(int worker, int index) {
      int batch = index / blocks / keyHeads;
      int head = index / blocks % keyHeads;
      int begin = index % blocks * POSITIONS;
      int end = Math.min(begin + POSITIONS, nk);
      int columns = linformer.maxSeqLen().orElse(nk);
      int sharing = owners / keyHeads;
      for (int owner = head * sharing; owner < (head + 1) * sharing; owner++) {
        int e = (linformer.perHead() ? owner : 0) * slots * columns;
        for (int from = mask.nextReal(batch, begin, end); from < end; ) {
          int to = mask.nextPadding(batch, from, end);
          kernels.multiplyTransposedA(
              to - from,
              width,
              slots,
              input(matrix),
              e + from,
              columns,
              gradSlots,
              slotsAt(batch, owner),
              width,
              gradient(rows),
              rowsAt(batch, owner) + from * width,
              width,
              true);
          from = mask.nextReal(batch, to, end);
        }
      }
    }

    /// ∂E = Σ ∂K̄ Kᵀ of one block of columns, over batch entries and the heads that share it.
    private void learnedMatrix(int worker, int index) {
      int matrixHead = index / blocks;
      int begin = index % blocks * POSITIONS;
      int end = Math.min(begin + POSITIONS, nk);
      int columns = linformer.maxSeqLen().orElse(nk);
      int first = linformer.perHead() ? matrixHead : 0;
      int last = linformer.perHead() ? matrixHead + 1 : owners;
      for (int batch = 0; batch < shape.batchSize(); batch++) {
        for (int from = mask.nextReal(batch, begin, end); from < end; ) {
          int to = mask.nextPadding(batch, from, end);
          for (int owner = first; owner < last; owner++) {
            kernels.multiplyTransposedB(
                slots,
                to - from,
                width,
                gradSlots,
                slotsAt(batch, owner),
                width,
                input(rows),
                rowsAt(batch, owner) + from * width,
                width,
                gradient(matrix),
                matrixHead * slots * columns + from,
                columns,
                true,
                work[worker],
                0);
          }
          from = mask.nextReal(batch, to, end);
        }
      }
    }

    private void pool(int worker, int head) {
      int batch = head / keyHeads;
      int owner = head % keyHeads;
      int window = linformer.window(shape);
      float[] from = input(rows);
      float[] to = gradient(rows);
      for (int a = 0; a < slots; a++) {
        int slot = slotsAt(batch, owner) + a * width;
        int first = rowsAt(batch, owner) + a * window * width;
        if (linformer.projection() == Projection.MAX_POOL) {
          for (int c = 0; c < width; c++) {
            int s = largest(from, batch, a * window, window, first + c);
            if (s >= 0) {
              to[first + s * width + c] += gradSlots[slot + c];
            }
          }
        } else {
          for (int s = 0; s < window; s++) {
            if (mask.isRealKey(batch, a * window + s)) {
              kernels.axpy(width, 1f / window, gradSlots, slot, to, first + s * width);
            }
          }
        }
      }
    }

    /// First row of a window with the largest element of a column, padded ones counting as zero; −1
    /// if that is a padded one.
    private int largest(float[] from, int batch, int position, int window, int column) {
      float best = Float.NEGATIVE_INFINITY;
      int found = -1;
      for (int s = 0; s < window; s++) {
        boolean real = mask.isRealKey(batch, position + s);
        float element = real ? from[column + s * width] : 0;
        if (element > best) {
          best = element;
          found = real ? s : -1;
        }
      }
      return found;
    }

    /// ∂k_{a·stride+s} += W_s ∂K̄_a of one head.
    private void convolutionRows(int worker, int head) {
      int batch = head / keyHeads;
      int owner = head % keyHeads;
      for (int s = 0; s < linformer.taps(shape); s++) {
        for (int first = 0; first < slots; first += SLOTS) {
          int count = Math.min(SLOTS, slots - first);
          kernels.multiplyTransposedB(
              count,
              width,
              width,
              gradSlots,
              slotsAt(batch, owner) + first * width,
              width,
              filter,
              s * width * width,
              width,
              part[worker],
              0,
              width,
              false,
              work[worker],
              0);
          for (int a = 0; a < count; a++) {
            int j = (first + a) * linformer.step(shape) + s;
            if (mask.isRealKey(batch, j)) {
              int to = rowsAt(batch, owner) + j * width;
              kernels.add(width, part[worker], a * width, gradient(rows), to, gradient(rows), to);
            }
          }
        }
      }
    }

    /// ∂W_s = Σ_a k_{a·stride+s} ∂K̄_aᵀ over all heads.
    private void convolutionTap(int worker, int s) {
      int tap = s * width * width;
      Arrays.fill(gradFilter, tap, tap + width * width, 0);
      for (int head = 0; head < shape.batchSize() * keyHeads; head++) {
        int batch = head / keyHeads;
        int owner = head % keyHeads;
        for (int first = 0; first < slots; first += SLOTS) {
          int count = Math.min(SLOTS, slots - first);
          for (int a = 0; a < count; a++) {
            int j = (first + a) * linformer.step(shape) + s;
            if (mask.isRealKey(batch, j)) {
              int from = rowsAt(batch, owner) + j * width;
              System.arraycopy(input(rows), from, part[worker], a * width, width);
            } else {
              Arrays.fill(part[worker], a * width, (a + 1) * width, 0);
            }
          }
          kernels.multiplyTransposedA(
              width,
              width,
              count,
              part[worker],
              0,
              width,
              gradSlots,
              slotsAt(batch, owner) + first * width,
              width,
              gradFilter,
              tap,
              width,
              true);
        }
      }
      int taps = linformer.taps(shape);
      float[] target = gradient(weight);
      for (int e = 0; e < width; e++) {
        for (int o = 0; o < width; o++) {
          target[(o * width + e) * taps + s] += gradFilter[tap + e * width + o];
        }
      }
    }

    private void convolutionBias() {
      float[] target = gradient(bias);
      for (int row = 0; row < shape.batchSize() * owners * slots; row++) {
        kernels.add(width, target, 0, gradSlots, row * width, target, 0);
      }
    }
  }
}
