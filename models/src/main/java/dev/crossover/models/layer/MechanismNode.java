// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.models.graph.Graph;
import dev.crossover.models.graph.Operation;
import dev.crossover.models.graph.Parameter;
import dev.crossover.models.graph.Team;
import dev.crossover.models.graph.Value;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/// A mechanism as one operation: its plan, the values it reads by name, the parameters it trains.
///
/// The plan keeps what its own backward pass needs; it is built for the mask at hand and again when
/// the padding changes.
final class MechanismNode extends Operation {
  private final Builder builder;
  private final Attention mechanism;
  private final AttentionShape shape;
  private final boolean causal;
  private final Padding padding;
  private final List<String> names;
  private final List<Boolean> flat;
  private final Map<String, Parameter> parameters;
  private final int threads;
  private Tensors given = Tensors.NONE;
  private Tensors gradients = Tensors.NONE;
  private Tensor out = Tensor.zeros(0);
  private Tensor gradOut = Tensor.zeros(0);
  private @Nullable AttentionPlan plan;
  private long planBytes;
  private int plannedFor = -1;

  private MechanismNode(
      Graph graph, Value out, Builder builder, List<Value> inputs, AttentionShape shape) {
    super(graph, out, inputs);
    this.builder = builder;
    this.mechanism = builder.mechanism;
    this.shape = shape;
    this.causal = builder.causal;
    this.padding = builder.padding;
    this.names = List.copyOf(builder.names);
    this.flat = List.copyOf(builder.flat);
    this.parameters = Map.copyOf(builder.parameters);
    double pairs = (double) shape.problems() * shape.querySeqLen() * shape.keySeqLen();
    double work = Math.min(pairs, 64.0 * shape.problems() * shape.keySeqLen());
    boolean small = 2 * work * (shape.headDim() + shape.valueDim()) < Team.LEAST_WORK;
    this.threads = small ? 1 : graph.threads();
  }

  /// What a node is made of.
  static final class Builder {
    private final Attention mechanism;
    private final boolean causal;
    private final Padding padding;
    private final List<String> names = new ArrayList<>();
    private final List<Boolean> flat = new ArrayList<>();
    private final List<Value> values = new ArrayList<>();
    private final Set<String> shared = new HashSet<>();
    private final Map<String, Parameter> parameters = new LinkedHashMap<>();
    private final Map<String, Tensor> constants = new LinkedHashMap<>();

    Builder(Attention mechanism, boolean causal, Padding padding) {
      this.mechanism = mechanism;
      this.causal = causal;
      this.padding = padding;
    }

    /// An input made from tokens.
    ///
    /// @param isFlat whether the mechanism takes `[batch, heads, n]` instead of `[…, 1]`
    void value(String name, Value value, boolean isFlat) {
      names.add(name);
      values.add(value);
      flat.add(isFlat);
    }

    /// An input made from tokens that all heads share, which the mechanism takes as `[batch, n,
    /// …]`.
    ///
    /// @param value of one head
    void rows(String name, Value value) {
      value(name, value, false);
      shared.add(name);
    }

    /// The tensor of an input, as the mechanism takes it.
    private Tensor shaped(int i, Tensor tensor) {
      return shared.contains(names.get(i))
          ? tensor.reshape(tensor.extent(0), tensor.extent(2), tensor.extent(3))
          : tensor;
    }

    void parameter(String name, Parameter parameter) {
      parameters.put(name, parameter);
    }

    void constant(String name, Tensor tensor) {
      constants.put(name, tensor);
    }

    Attention mechanism() {
      return mechanism;
    }

    /// Names of the inputs made from tokens.
    List<String> names() {
      return List.copyOf(names);
    }

    /// Everything the mechanism reads.
    ///
    /// @param inputs the values, in the order they were added
    Tensors tensors(List<Value> inputs) {
      Tensors given = Tensors.NONE;
      for (int i = 0; i < names.size(); i++) {
        given = given.with(names.get(i), shaped(i, inputs.get(i).tensor(flat.get(i))));
      }
      for (Map.Entry<String, Parameter> entry : parameters.entrySet()) {
        given = given.with(entry.getKey(), entry.getValue().value());
      }
      for (Map.Entry<String, Tensor> entry : constants.entrySet()) {
        given = given.with(entry.getKey(), entry.getValue());
      }
      return given;
    }

    Value add(
        Graph graph,
        String name,
        Value queries,
        AttentionShape shape,
        @Nullable Decoding decoding) {
      List<@Nullable Parameter> used = new ArrayList<>(parameters.values());
      int width = shape.numHeads() * shape.valueDim();
      Value out = graph.value(name, queries.rows(), shape.numHeads(), width, values, used);
      return graph.add(
          decoding == null
              ? new MechanismNode(graph, out, this, values, shape)
              : new MechanismStep(graph, out, this, values, shape, decoding));
    }
  }

  @Override
  protected Reach reach() {
    return Reach.WHOLE;
  }

  @Override
  protected boolean keepsOutput() {
    return true;
  }

  @Override
  protected void bind() {
    given = builder.tensors(inputs());
    for (int i = 0; i < names.size(); i++) {
      if (output().needsGradient() && wants(i)) {
        Tensor gradient = builder.shaped(i, input(i).gradientTensor(flat.get(i)));
        gradients = gradients.with("grad_" + names.get(i), gradient);
      }
    }
    for (Map.Entry<String, Parameter> entry : parameters.entrySet()) {
      Parameter parameter = entry.getValue();
      if (graph().trains(parameter)) {
        gradients = gradients.with("grad_" + entry.getKey(), parameter.gradient());
      }
    }
    out = output().tensor(false);
    if (output().needsGradient()) {
      gradOut = output().gradientTensor(false);
    }
    prepare();
  }

  /// The plan for the padding at hand.
  private AttentionPlan prepare() {
    if (plan == null || plannedFor != padding.version()) {
      Mask mask = padding.mask(causal);
      if (output().needsGradient()) {
        DifferentiablePlan differentiable = mechanism.differentiable(shape, mask, threads);
        planBytes = differentiable.scratchBytes() + differentiable.keptBytes();
        plan = differentiable;
      } else {
        plan = mechanism.plan(shape, mask, threads);
        planBytes = plan.scratchBytes();
      }
      plannedFor = padding.version();
    }
    return Objects.requireNonNull(plan);
  }

  @Override
  protected long nestedBytes() {
    return planBytes;
  }

  @Override
  protected void forward(Team team) {
    prepare().forward(given, out);
  }

  @Override
  protected void backward(Team team) {
    for (int i = 0; i < names.size(); i++) {
      if (wants(i) && !adds(i)) {
        Arrays.fill(input(i).gradient(), 0);
      }
    }
    if (plan instanceof DifferentiablePlan differentiable) {
      differentiable.accumulate(gradOut, Tensors.NONE, gradients);
    }
  }
}
