// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.training;

import dev.crossover.models.graph.Parameter;
import dev.crossover.models.graph.Parameters;
import dev.crossover.models.layer.LayerOptions;
import dev.crossover.models.model.Batch;
import dev.crossover.models.model.Model;
import dev.crossover.models.model.ModelKind;
import dev.crossover.models.model.ModelShape;
import dev.crossover.models.model.Purpose;
import dev.crossover.models.optimiser.OptimiserOptions;

/// Attention transfer (LoLCATs, Zhang et al. 2024, step 1): another mechanism learns to give, from
/// the inputs that the trained model gives every block, the head outputs that the model's own
/// mechanism gives; everything but the student's tensors is frozen. No gradient passes from block
/// to block.
///
/// The student's tensors are named `layers.I.student.*`: those of the mechanism, or maps of its own
/// (`query_weight`, `key_weight`); what it has not, it takes from the mixer.
public final class AttentionTransfer {
  private final LayerOptions options;
  private final Parameters parameters;
  private final ModelShape shape;
  private final String student;
  private final double factor;
  private final int threads;

  /// @param options of the trained model
  /// @param parameters its tensors and the student's
  /// @param student the mechanism to be fitted
  /// @param factor on the loss
  /// @param threads number of threads, at least 1
  public AttentionTransfer(
      LayerOptions options,
      Parameters parameters,
      ModelShape shape,
      String student,
      double factor,
      int threads) {
    this.options = options;
    this.parameters = parameters;
    this.shape = shape;
    this.student = student;
    this.factor = factor;
    this.threads = threads;
  }

  /// Steps that fit the student.
  public Trainer trainer(OptimiserOptions optimiser) {
    return new Trainer(plan(Purpose.TRAIN), parameters, optimiser, threads);
  }

  private Model plan(Purpose purpose) {
    return Model.planTransfer(options, parameters, shape, student, factor, purpose, threads);
  }

  /// The student's output error, as its tensors are now: ‖student − teacher‖ / ‖teacher‖ of the
  /// head outputs, all heads together, from the inputs that the trained model gives every block.
  ///
  /// @return by block
  public double[] errors(Batch batch) {
    Model model = plan(Purpose.EVALUATE);
    model.loss(batch);
    return model.transferErrors();
  }

  /// The loss of the untouched model.
  public double teacherLoss(Batch batch) {
    Parameters own = new Parameters();
    for (Parameter parameter : parameters.all()) {
      if (!parameter.name().contains(".student.")) {
        own.add(parameter.name(), parameter.value());
      }
    }
    return loss(options, own, batch);
  }

  /// The loss of the model whose mixers are replaced by the student, as its tensors are now.
  public double swapLoss(Batch batch) {
    LayerOptions swapped = options;
    for (int i = 0; i < options.layers(); i++) {
      swapped = swapped.with("mixer." + i, student);
    }
    return loss(swapped, swapped(), batch);
  }

  /// The model's parameters with the student's in the place of the mixer's of the same name; the
  /// tensors are shared.
  public Parameters swapped() {
    Parameters swapped = new Parameters();
    for (Parameter parameter : parameters.all()) {
      String name = parameter.name();
      String replacement = name.replace(".mixer.", ".student.");
      boolean replaced = !name.equals(replacement) && parameters.has(replacement);
      if (!replaced) {
        swapped.add(name.replace(".student.", ".mixer."), parameter.value());
      }
    }
    return swapped;
  }

  private double loss(LayerOptions of, Parameters with, Batch batch) {
    return Model.plan(ModelKind.LANGUAGE_MODEL, of, with, shape, Purpose.EVALUATE, threads)
        .loss(batch);
  }
}
