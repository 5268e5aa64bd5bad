// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import static dev.crossover.attention.Axis.MODEL_DIM;

import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Axis;
import dev.crossover.attention.Cost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.Workers;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.tensor.Tensor;
import java.util.List;

/// Gated causal convolution as a layer, without biases.
///
/// ```
/// [a g]_t = Σ_j W_j x_{t−j},  j = 0 … w − 1
/// output_t = W_o (tanh(a) σ(g))
/// ```
///
/// | paper | here | shape |
/// |---|---|---|
/// | x | `x` | `[batch, n, D]` |
/// | W | `conv_weight` | `[w, 2 D, D]` |
/// | W_o | `output_weight` | `[D, D]` |
///
/// One sequential step; a position sees w of them.
///
/// @param width w
@Mechanism(
    name = "gated_convolution",
    title = "Gated convolution",
    paper = "van den Oord et al., WaveNet: A Generative Model for Raw Audio, 2016",
    arxiv = "1609.03499",
    family = Mechanism.Family.RECURRENT,
    approximates = Mechanism.Approximates.NONE,
    exactness = "none: no attention",
    time = "(4 w + 2) n D²",
    memory = "n D",
    exponent = 1)
public record GatedConvolutionLayer(
    @Parameter(value = "positions seen w, >= 1", defaultValue = "2") int width)
    implements BaselineLayer {

  /// Validates the width.
  public GatedConvolutionLayer {
    if (width < 1) {
      throw new IllegalArgumentException("width must be >= 1, but was " + width);
    }
  }

  @Override
  public List<TensorSpec> inputs(AttentionShape s) {
    int model = MultiHeadLayer.modelDim(s);
    return List.of(
        BaselineLayer.x(s),
        BaselineLayer.weight(
            "conv_weight", width * model, s, Axis.of("taps", width), MODEL_DIM.times(2), MODEL_DIM),
        BaselineLayer.weight("output_weight", model, s, MODEL_DIM, MODEL_DIM));
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    long model = MultiHeadLayer.modelDim(s);
    double rows = (double) s.batchSize() * s.querySeqLen();
    double maps = (2.0 * width + 1) * model * model;
    long scratch =
        2 * s.batchSize() * (long) s.querySeqLen() * model
            + threads * (model + BaselinePlan.packFloats((int) model, (int) (2 * model)));
    return new Cost(
        rows * (2 * maps + 3 * model),
        Float.BYTES * (rows * 6 * model + maps),
        Float.BYTES * scratch);
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    return new ConvolutionPlan(request);
  }

  private final class ConvolutionPlan extends BaselinePlan {
    private final float[] gates;
    private final float[][] rows = new float[threads()][];
    private final Workers.Task task = this::block;

    ConvolutionPlan(PlanRequest request) {
      super(request, 2 * MultiHeadLayer.modelDim(request.shape()));
      gates = scratch.floats(2L * batch * steps * super.width);
      for (int t = 0; t < rows.length; t++) {
        rows[t] = scratch.floats(super.width);
      }
    }

    @Override
    protected void compute(Tensor output) {
      workers.run(batch * Math.ceilDiv(steps, ROWS_PER_TASK), task);
    }

    /// A block of rows of one sequence: the sum over taps, the gate, the map behind it.
    private void block(int worker, int index) {
      int perSequence = Math.ceilDiv(steps, ROWS_PER_TASK);
      int start = index / perSequence * steps;
      int first = index % perSequence * ROWS_PER_TASK;
      int last = Math.min(steps, first + ROWS_PER_TASK);
      int model = super.width;
      float[] x = input("x");
      float[] taps = input("conv_weight");
      for (int j = 0; j < GatedConvolutionLayer.this.width; j++) {
        int from = Math.max(first, j);
        if (from < last) {
          map(
              worker,
              last - from,
              2 * model,
              x,
              (start + from - j) * model,
              model,
              taps,
              j * 2 * model * model,
              gates,
              (start + from) * 2 * model,
              2 * model,
              j > 0);
        }
      }
      float[] row = rows[worker];
      for (int t = first; t < last; t++) {
        int a = (start + t) * 2 * model;
        Elementary.tanh(model, gates, a, row, 0);
        Elementary.sigmoid(model, gates, a + model, gates, a + model);
        kernels.multiplyElements(model, row, 0, gates, a + model, gates, a);
      }
      map(
          worker,
          last - first,
          model,
          gates,
          (start + first) * 2 * model,
          2 * model,
          input("output_weight"),
          0,
          out,
          (start + first) * model,
          model,
          false);
    }
  }
}
