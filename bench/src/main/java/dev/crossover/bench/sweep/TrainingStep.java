// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.sweep;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.ExactTarget;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.mechanism.Mechanism.Approximates;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.bench.error.ExactGradients;
import dev.crossover.bench.error.ExactRows;
import dev.crossover.bench.result.ResultRecord.ErrorNorms;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/// A forward and a backward pass of a problem: its tensors, a standard Gaussian gradient of the
/// output, and room for the gradient of everything differentiable but options, which sweeps leave
/// off.
public final class TrainingStep {
  private static final String PREFIX = "grad_";

  private final Problem problem;
  private final Tensors inputs;
  private final Tensor output;
  private final Tensor gradOut;
  private final Tensors gradients;
  private @Nullable DifferentiablePlan plan;

  /// Loads or draws the tensors; the plan is built by [#build].
  ///
  /// @throws IOException if the input cannot be read
  public TrainingStep(Problem problem) throws IOException {
    this.problem = problem;
    inputs = problem.load();
    output = problem.newOutput();
    gradOut = Draws.gaussian(Draws.seedFor(problem.point().seed(), "grad_out"), output.shape());
    Tensors room = Tensors.NONE;
    for (TensorSpec spec : differentiable(problem.attention(), problem.shape())) {
      room = room.with(PREFIX + spec.name(), Tensor.zeros(spec.shape().toArray()));
    }
    gradients = room;
  }

  /// What a step computes gradients of.
  static List<TensorSpec> differentiable(Attention attention, AttentionShape shape) {
    return attention.inputs(shape).stream()
        .filter(spec -> spec.differentiable() && spec.role() != TensorSpec.Role.OPTIONAL)
        .toList();
  }

  /// Builds the plan, once.
  ///
  /// @throws IllegalArgumentException if the mechanism refuses the problem, by name
  /// @throws UnsupportedOperationException if it has no gradients, by name
  public void build() {
    plan =
        problem
            .attention()
            .differentiable(problem.shape(), problem.mask(), problem.point().threads());
  }

  /// Both passes; allocates nothing in a steady state.
  public void run() {
    DifferentiablePlan built = plan();
    built.forward(inputs, output);
    built.backward(gradOut, gradients);
  }

  /// The plan.
  ///
  /// @throws NullPointerException before [#build]
  public DifferentiablePlan plan() {
    return Objects.requireNonNull(plan, "build comes first");
  }

  /// The elements of the output and of every gradient after the last [#run].
  public List<float[]> answers() {
    List<float[]> answers = new ArrayList<>();
    answers.add(output.data());
    for (int g = 0; g < gradients.size(); g++) {
      answers.add(gradients.tensor(g).data());
    }
    return answers;
  }

  /// Error of the gradients of queries, keys and values against those of the exact attention that
  /// the mechanism approximates, in double precision, from the positions of [ExactRows]; runs
  /// another step, in which only these have an upstream gradient. Where it attends over other
  /// queries and keys than those it is given ([Attention#targetGradients]), exact gradients are
  /// carried back to those given; where queries and keys are one tensor, the errors of both are
  /// that of its gradient.
  ///
  /// @return nothing for a mechanism that approximates nothing, or whose gradients cannot be
  ///     compared because its tensors are of other shapes
  public @Nullable ErrorNorms error() {
    if (problem.type().mechanism().approximates() == Approximates.NONE
        || !gradients.has(PREFIX + "v")) {
      return null;
    }
    ExactTarget target = problem.attention().exactTarget(problem.shape(), problem.mask(), inputs);
    AttentionShape of = target.shape();
    if (target.value() != inputs.get("v")
        || !output.hasShape(of.batchSize(), of.numHeads(), of.querySeqLen(), of.valueDim())) {
      return null;
    }
    boolean given =
        inputs.has("q")
            && inputs.has("k")
            && target.query() == inputs.get("q")
            && target.key() == inputs.get("k");
    int[] positions = ExactRows.positions(of);
    ExactGradients exact = ExactGradients.of(target, gradOut, positions, problem.point().threads());
    double[] whole = exact.wholeQuery(of.querySeqLen(), of.headDim());
    Map<String, double[]> carried =
        given
            ? Map.of("q", whole, "k", exact.key())
            : problem.attention().targetGradients(inputs, whole, exact.key());
    String query = carried.containsKey("qk") ? "qk" : "q";
    String key = carried.containsKey("qk") ? "qk" : "k";
    if (carried.isEmpty() || !gradients.has(PREFIX + query) || !gradients.has(PREFIX + key)) {
      return null;
    }
    DifferentiablePlan built = plan();
    built.forward(inputs, output);
    built.backward(ExactGradients.at(positions, gradOut), gradients);
    Tensor gradQuery = gradients.get(PREFIX + query);
    Tensor gradKey = gradients.get(PREFIX + key);
    Tensor gradValue = gradients.get(PREFIX + "v");
    return exact.compare(
        gradQuery,
        Objects.requireNonNull(carried.get(query), query),
        gradKey,
        Objects.requireNonNull(carried.get(key), key),
        gradValue);
  }
}
