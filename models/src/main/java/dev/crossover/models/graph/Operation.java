// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.graph;

import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// One step of a model: some values in, one value out; forward and backward side by side.
///
/// `forward` and `backward` work on a range of rows and may run concurrently on different ranges,
/// unless the operation reaches over the [Reach#WHOLE] batch. `backward` writes or adds to the
/// gradient of an input, as [#adds] says; gradients of parameters are always added to, per block of
/// rows through a [Partial] or in numbered [#job]s that run when the gradient of the output is
/// complete.
public abstract class Operation {

  /// Which rows of its inputs an operation reads.
  public enum Reach {
    /// Row r of the inputs for row r of the output.
    ROW,
    /// Other rows of the same sequence too; rows are still written one by one.
    NEIGHBOURS,
    /// It schedules its own work over the whole batch.
    WHOLE
  }

  private final Graph graph;
  private final Value output;
  private final List<Value> inputs;
  private final List<Partial> partials = new ArrayList<>();
  private final boolean[] adds;

  /// @param graph the graph it is part of
  /// @param output what it writes, made by [Graph#value]
  /// @param inputs what it reads
  protected Operation(Graph graph, Value output, List<Value> inputs) {
    this.graph = graph;
    this.output = output;
    this.inputs = List.copyOf(inputs);
    this.adds = new boolean[inputs.size()];
  }

  /// What it writes.
  public final Value output() {
    return output;
  }

  /// What it reads.
  public final List<Value> inputs() {
    return inputs;
  }

  /// What it reads at a position.
  protected final Value input(int i) {
    return inputs.get(i);
  }

  /// The graph.
  protected final Graph graph() {
    return graph;
  }

  /// Whether the gradient of an input is asked for.
  protected final boolean wants(int i) {
    return inputs.get(i).needsGradient;
  }

  /// Whether the gradient of an input is added to (true) or written (false).
  protected final boolean adds(int i) {
    return adds[i];
  }

  /// [#adds] for helpers outside the operation.
  public final boolean addsTo(int i) {
    return adds[i];
  }

  final void setAdds(int i, boolean add) {
    adds[i] = add;
  }

  /// Which rows of the inputs it reads.
  protected Reach reach() {
    return Reach.ROW;
  }

  /// Whether `backward` reads the elements of an input.
  protected boolean keepsInput(int i) {
    return true;
  }

  /// Whether `backward` reads the elements of the output.
  protected boolean keepsOutput() {
    return false;
  }

  /// Whether the gradient of an input is that of the output, element by element.
  protected boolean passesGradient(int i) {
    return false;
  }

  /// Multiply-adds, or as many operations on memory, per row.
  protected long work() {
    return output.width();
  }

  /// Floats of scratch that a range of rows needs, from [Graph#scratch].
  protected int scratch() {
    return 0;
  }

  /// A gradient summed per block of rows of the output, null where a parameter is absent or not
  /// trained; call in the constructor only.
  protected final @Nullable Partial partial(@Nullable Parameter parameter) {
    return parameter == null ? null : partial(parameter, 0, parameter.value().size());
  }

  /// The same for some elements of a parameter.
  protected final @Nullable Partial partial(@Nullable Parameter parameter, int from, int width) {
    if (parameter == null || !graph.trains(parameter)) {
      return null;
    }
    float[] target = parameter.gradient().data();
    Partial partial = new Partial(graph.layout(), output.rows(), width, target, from);
    partials.add(partial);
    return partial;
  }

  /// Called once the arrays of all values exist.
  protected void bind() {}

  /// Writes rows of the output.
  protected void forward(int worker, int from, int to) {
    throw new IllegalStateException(output + " is not computed by rows");
  }

  /// Writes or adds rows of the gradients of the inputs.
  protected void backward(int worker, int from, int to) {
    throw new IllegalStateException(output + " is not differentiated by rows");
  }

  /// Writes the whole output; for [Reach#WHOLE] only.
  protected void forward(Team team) {
    throw new IllegalStateException(output + " is not computed as a whole");
  }

  /// Writes or adds the whole gradients of the inputs; for [Reach#WHOLE] only.
  protected void backward(Team team) {
    throw new IllegalStateException(output + " is not differentiated as a whole");
  }

  /// Number of jobs that add to gradients of parameters.
  protected int jobs() {
    return 0;
  }

  /// Multiply-adds of all jobs.
  protected long jobWork() {
    return 0;
  }

  /// Runs one job.
  protected void job(int worker, int index) {
    throw new IllegalStateException(output + " has no jobs");
  }

  /// Bytes of plans inside, which are counted when asked for because a mask may change them.
  protected long nestedBytes() {
    return 0;
  }

  final int allJobs() {
    int count = jobs();
    for (int i = 0; i < partials.size(); i++) {
      count += partials.get(i).tasks();
    }
    return count;
  }

  final long allJobWork() {
    long work = jobWork();
    for (int i = 0; i < partials.size(); i++) {
      work += partials.get(i).work();
    }
    return work;
  }

  final void anyJob(int worker, int index) {
    int at = index - jobs();
    if (at < 0) {
      job(worker, index);
      return;
    }
    for (int i = 0; i < partials.size(); i++) {
      int tasks = partials.get(i).tasks();
      if (at < tasks) {
        partials.get(i).reduce(at);
        return;
      }
      at -= tasks;
    }
  }
}
