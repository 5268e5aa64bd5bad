// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.recurrent;

import static dev.crossover.attention.Axis.BATCH;
import static dev.crossover.attention.Axis.HEADS;
import static dev.crossover.attention.Axis.HEAD_DIM;
import static dev.crossover.attention.Axis.KEY;
import static dev.crossover.attention.Axis.VALUE_DIM;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionInputs;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.BoundTensors;
import dev.crossover.attention.Capabilities;
import dev.crossover.attention.Cost;
import dev.crossover.attention.DecodeSession;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.recurrent.UpdateRule.Decay;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.Recurrence;
import java.util.ArrayList;
import java.util.List;

/// Every rule the engine knows: any decay, erasing or not, weighted or not, at any chunk length.
///
/// @param strongest gates are uniform from minus this to 0
record AnyRule(Decay decay, boolean erases, boolean weighs, int chunk, double strongest)
    implements Attention {
  private static final double SCALE = 0.4;

  @Override
  public Capabilities capabilities() {
    return Capabilities.MINIMAL
        .causal(Capabilities.Causality.ALWAYS)
        .keyPadding(Capabilities.Padding.ANY)
        .valueDim(true)
        .decoding(true)
        .gradients(true);
  }

  @Override
  public List<TensorSpec> inputs(AttentionShape s) {
    List<TensorSpec> specs = new ArrayList<>(AttentionInputs.qkv(s));
    TensorSpec.Draw gates = (seed, shape) -> Draws.uniform(seed, -strongest, 0, shape);
    switch (decay) {
      case NONE -> {}
      case CONSTANT -> specs.add(TensorSpec.parameter("g", "gates", gates, s, HEADS));
      case TOKEN -> specs.add(TensorSpec.input("g", "gates", gates, s, BATCH, HEADS, KEY));
      case CHANNEL ->
          specs.add(TensorSpec.input("g", "gates", gates, s, BATCH, HEADS, KEY, HEAD_DIM));
    }
    if (erases || weighs) {
      TensorSpec.Draw draw = (seed, shape) -> Draws.uniform(seed, 0, 1, shape);
      specs.add(TensorSpec.input("beta", "strength", draw, s, BATCH, HEADS, KEY));
    }
    specs.add(
        TensorSpec.optional(
            "initial_state", "S", Draws::gaussian, s, BATCH, HEADS, HEAD_DIM, VALUE_DIM));
    return specs;
  }

  @Override
  public List<TensorSpec> results(AttentionShape s) {
    return List.of(TensorSpec.result("final_state", "S", s, BATCH, HEADS, HEAD_DIM, VALUE_DIM));
  }

  /// Keys of length 1, or erasing would make the state grow without bound.
  @Override
  public Tensors adapt(AttentionShape shape, Tensors qkv, long seed) {
    Tensor key = qkv.get("k").copy();
    int d = shape.headDim();
    for (int row = 0; row < key.size(); row += d) {
      double square = 0;
      for (int a = 0; a < d; a++) {
        square += key.data()[row + a] * key.data()[row + a];
      }
      for (int a = 0; a < d; a++) {
        key.data()[row + a] /= (float) Math.sqrt(square);
      }
    }
    return AttentionInputs.complete(this, shape, qkv.with("k", key), seed);
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    return RecurrentCost.of(s, mask, threads, new Rule(s), chunk, 0);
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    return new RecurrentPlan(request, new Rule(request.shape()), chunk);
  }

  @Override
  public DifferentiablePlan newDifferentiablePlan(PlanRequest request) {
    return new RecurrentGradientPlan(request, new Rule(request.shape()), chunk);
  }

  @Override
  public GradientCost gradientCost(AttentionShape s, Mask mask, int threads) {
    return RecurrentCost.gradient(s, mask, threads, new Rule(s), chunk, 0);
  }

  @Override
  public DecodeSession decode(AttentionShape shape, int threads) {
    return new RecurrentSession(this, shape, threads, new Rule(shape));
  }

  @Override
  public String name() {
    return "any_rule";
  }

  /// The same recurrence by naive loops.
  Recurrence oracle(AttentionShape s, Tensors inputs) {
    return new Recurrence(
        SCALE,
        (row, a) ->
            switch (decay) {
              case NONE -> 0;
              case CONSTANT -> inputs.get("g").data()[row / s.querySeqLen() % s.numHeads()];
              case TOKEN -> inputs.get("g").data()[row];
              case CHANNEL -> inputs.get("g").data()[row * s.headDim() + a];
            },
        decay == Decay.CONSTANT,
        (row, _) -> erases || weighs ? inputs.get("beta").data()[row] : 1,
        erases);
  }

  /// The rule under test.
  private final class Rule implements UpdateRule {
    private final AttentionShape shape;
    private float[] g = new float[0];
    private float[] beta = new float[0];
    private float[] gradG = UNWANTED;
    private float[] gradBeta = UNWANTED;

    Rule(AttentionShape shape) {
      this.shape = shape;
    }

    @Override
    public Decay decay() {
      return decay;
    }

    @Override
    public void bind(BoundTensors inputs) {
      g = decay == Decay.NONE ? g : inputs.get("g");
      beta = weighsWrites() ? inputs.get("beta") : beta;
    }

    @Override
    public void bindGradients(BoundTensors gradients) {
      gradG = gradients.has("g") ? gradients.get("g") : UNWANTED;
      gradBeta = gradients.has("beta") ? gradients.get("beta") : UNWANTED;
    }

    @Override
    public float[] gradLogDecays() {
      return gradG;
    }

    @Override
    public boolean wantsDecayGradient() {
      return gradG.length > 0;
    }

    @Override
    public void addDecayGradient(int head, double gradient) {
      gradG[head] += (float) (Math.exp(g[head]) * gradient);
    }

    @Override
    public float[] gradStrengths() {
      return gradBeta;
    }

    @Override
    public boolean erases() {
      return erases;
    }

    @Override
    public boolean weighsWrites() {
      return erases || weighs;
    }

    @Override
    public double scale() {
      return SCALE;
    }

    @Override
    public double logDecay(int head, int row) {
      return decay == Decay.CONSTANT ? g[head % shape.numHeads()] : g[row];
    }

    @Override
    public float[] logDecays() {
      return g;
    }

    @Override
    public float writeStrength(int head, int row) {
      return beta[row];
    }
  }
}
