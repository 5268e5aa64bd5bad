// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.training;

import dev.crossover.attention.tensor.Tensor;
import dev.crossover.models.graph.Parameters;
import dev.crossover.models.model.Batch;
import dev.crossover.models.model.Model;
import dev.crossover.models.optimiser.Optimiser;
import dev.crossover.models.optimiser.OptimiserOptions;
import java.util.Map;

/// Steps of training: gradients of the loss of a batch, clipping, learning rate of the step,
/// update.
///
/// Same seed and same batches give the same bits, for any number of threads. What a checkpoint must
/// hold is the parameters (running statistics among them), [#state], and [#steps].
public final class Trainer {
  private Model model;
  private final Parameters parameters;
  private final Optimiser optimiser;
  private long steps;

  /// @param model a plan for training; its trained parameters are those changed
  /// @param parameters the store it was planned with
  /// @param threads number of threads, at least 1
  public Trainer(Model model, Parameters parameters, OptimiserOptions options, int threads) {
    this.model = model;
    this.parameters = parameters;
    this.optimiser = new Optimiser(options, parameters.trained(), threads);
  }

  /// Goes on with batches of another shape.
  ///
  /// @param plan for training, of the same parameters
  public void continueWith(Model plan) {
    model = plan;
  }

  /// Trains on a batch.
  ///
  /// @return the loss before the update
  public double step(Batch batch) {
    parameters.clearGradients();
    model.setStep(steps);
    double loss = model.loss(batch);
    model.backward();
    optimiser.step(steps);
    steps++;
    return loss;
  }

  /// Number of steps done.
  public long steps() {
    return steps;
  }

  /// Continues a run after so many steps; the parameters and [#state] are those it had then.
  public void resume(long done) {
    steps = done;
  }

  /// What the optimiser remembers, to be written to a checkpoint and written back.
  public Map<String, Tensor> state() {
    return optimiser.state();
  }

  /// Norm of all gradients together before clipping, of the last step.
  public double gradNorm() {
    return optimiser.gradNorm();
  }

  /// Learning rate of the last step.
  public double learningRate() {
    return optimiser.learningRate();
  }

  /// The model.
  public Model model() {
    return model;
  }
}
