// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.graph;

import dev.crossover.attention.Scratch;
import dev.crossover.attention.Workers;
import dev.crossover.attention.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/// Operations in their order, made ready for one shape: `forward` runs them, `backward` runs their
/// counterparts in reverse, and neither allocates.
///
/// Built once: make values, add operations, [#finish]. Consecutive operations on the same rows run
/// block of rows by block of rows, so that a block stays in the cache from one operation to the
/// next and threads meet once per such dispatch, not once per operation.
public final class Graph {
  private final Parameters parameters;
  private final Predicate<String> trained;
  private final boolean gradients;
  private final Team team;
  private final Layout layout = new Layout();
  private final List<Operation> operations = new ArrayList<>();
  private final List<Weight> weights = new ArrayList<>();
  private final List<Dispatch> forwards = new ArrayList<>();
  private final List<Dispatch> backwards = new ArrayList<>();
  private float[][] scratch = new float[0][];
  private final Workers.Task packing = this::pack;
  private int packTasks;
  private long packWork;
  private boolean finished;

  /// @param parameters the store that operations read
  /// @param gradients whether there is a backward pass
  /// @param trained which parameters get a gradient, by name; constants never do
  /// @param threads number of threads, at least 1; any number gives the same bits
  public Graph(Parameters parameters, boolean gradients, Predicate<String> trained, int threads) {
    this.parameters = parameters;
    this.gradients = gradients;
    this.trained = trained;
    this.team = new Team(threads);
  }

  /// The store.
  public Parameters parameters() {
    return parameters;
  }

  /// Number of threads.
  public int threads() {
    return team.threads();
  }

  /// Runs tasks on this graph's threads.
  public Team team() {
    return team;
  }

  /// Whether there is a backward pass.
  public boolean hasGradients() {
    return gradients;
  }

  /// Allocates what operations keep for themselves, and counts it; for constructors.
  public Scratch layout() {
    return layout.own();
  }

  /// Whether a parameter gets a gradient.
  public boolean trains(@Nullable Parameter parameter) {
    return gradients
        && parameter != null
        && !parameter.isConstant()
        && trained.test(parameter.name());
  }

  /// A value that the caller writes, whose arrays nothing else uses.
  ///
  /// @param needsGradient whether the caller wants its gradient
  public Value input(String name, Rows rows, int heads, int width, boolean needsGradient) {
    return new Value(name, rows, heads, width, gradients && needsGradient).pin();
  }

  /// A value for an operation to write; a gradient flows through it if one does through an input
  /// or a parameter.
  ///
  /// @param heads number of heads; 0 for row-major storage
  public Value value(
      String name,
      Rows rows,
      int heads,
      int width,
      List<Value> inputs,
      List<@Nullable Parameter> used) {
    boolean needed =
        inputs.stream().anyMatch(Value::needsGradient) || used.stream().anyMatch(this::trains);
    return new Value(name, rows, heads, width, needed);
  }

  /// Adds the next operation.
  ///
  /// @return what it writes
  public Value add(Operation operation) {
    if (finished) {
      throw new IllegalStateException("operations must be added before the graph is finished");
    }
    operations.add(operation);
    operation.output().producer = operation;
    for (Value input : operation.inputs()) {
      input.consumers++;
    }
    return operation.output();
  }

  /// Rows `from … from + out - 1` of a parameter as a map, packed once per step however often it
  /// is used; it has as many columns as the parameter has elements for each of its first extent.
  ///
  /// @param needsInputGradient whether products in the other direction are needed
  public Weight weight(Parameter parameter, int from, int out, boolean needsInputGradient) {
    Tensor value = parameter.value();
    int in = value.size() / value.extent(0);
    for (Weight weight : weights) {
      if (weight.covers(parameter, from, out) && (weight.bothWays() || !needsInputGradient)) {
        return weight;
      }
    }
    Weight weight = new Weight(layout.own(), parameter, from, out, in, needsInputGradient);
    weights.add(weight);
    return weight;
  }

  /// Where operations compute, one array per worker; its contents last for one range of rows.
  public float[] scratch(int worker) {
    return scratch[worker];
  }

  /// Decides order and storage and allocates everything.
  public Graph finish() {
    finished = true;
    scheduleForward();
    if (gradients) {
      shareGradients();
      scheduleBackward();
    }
    layout.allocate(forwards, backwards, gradients);
    int floats = 0;
    for (Operation operation : operations) {
      floats = Math.max(floats, operation.scratch());
    }
    scratch = new float[threads()][];
    for (int worker = 0; worker < scratch.length; worker++) {
      scratch[worker] = layout.own().floats(floats);
    }
    for (Weight weight : weights) {
      packTasks += weight.tasks();
      packWork += (long) weight.out() * weight.in() * (weight.bothWays() ? 2 : 1);
    }
    operations.forEach(Operation::bind);
    return this;
  }

  private void scheduleForward() {
    Dispatch current = null;
    for (Operation operation : operations) {
      if (current == null || !current.takes(operation)) {
        current = new Dispatch(operation);
        forwards.add(current);
      }
      current.add(operation);
    }
  }

  private void scheduleBackward() {
    List<Value> written = new ArrayList<>();
    Dispatch current = null;
    for (Operation operation : operations.reversed()) {
      if (!operation.output().needsGradient) {
        continue;
      }
      if (current == null || !current.takes(operation)) {
        current = new Dispatch(operation);
        backwards.add(current);
      }
      current.add(operation);
      for (int i = 0; i < operation.inputs().size(); i++) {
        Value input = operation.inputs().get(i);
        if (input.needsGradient) {
          operation.setAdds(i, written.contains(input));
          written.add(input);
        }
      }
    }
  }

  /// The gradient of a value that only a sum reads is that of the sum.
  private void shareGradients() {
    for (Operation operation : operations) {
      for (int i = 0; i < operation.inputs().size(); i++) {
        Value input = operation.inputs().get(i);
        boolean only = input.consumers == 1 && input.producer != null && !input.pinned;
        if (operation.passesGradient(i)
            && only
            && input.needsGradient
            && input.heads() == operation.output().heads()) {
          input.gradientOf = operation.output();
        }
      }
    }
  }

  /// Whether the gradient of an input is stored in that of the output, so that nothing has to be
  /// done for it.
  public static boolean sharesGradient(Value input, Value output) {
    return input.gradientOf == output;
  }

  /// Computes all values from the inputs and the parameters as they are now.
  public void forward() {
    team.run(packTasks, packWork, packing);
    for (int i = 0; i < forwards.size(); i++) {
      forwards.get(i).forward(team);
    }
  }

  /// Computes the gradients of the inputs and adds those of the parameters, from the gradients of
  /// the last values, which the caller or the loss has written.
  public void backward() {
    if (!gradients) {
      throw new IllegalStateException("backward must follow a plan with gradients");
    }
    for (int i = 0; i < backwards.size(); i++) {
      backwards.get(i).backward(team);
    }
  }

  private void pack(int worker, int index) {
    int at = index;
    for (int i = 0; i < weights.size(); i++) {
      Weight weight = weights.get(i);
      if (at < weight.tasks()) {
        weight.pack(at);
        return;
      }
      at -= weight.tasks();
    }
  }

  /// Bytes of everything allocated: values, gradients of values, packed weights, plans of
  /// mechanisms, scratch. Parameters and their gradients belong to the store.
  public long bytes() {
    long bytes = layout.bytes();
    for (Operation operation : operations) {
      bytes += operation.nestedBytes();
    }
    return bytes;
  }
}
