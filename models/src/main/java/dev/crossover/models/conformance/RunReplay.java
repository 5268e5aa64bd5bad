// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.conformance;

import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.tensor.TensorFileException;
import dev.crossover.models.graph.Parameter;
import dev.crossover.models.graph.Parameters;
import dev.crossover.models.layer.LayerOptions;
import dev.crossover.models.model.Batch;
import dev.crossover.models.model.Model;
import dev.crossover.models.model.ModelKind;
import dev.crossover.models.model.ModelShape;
import dev.crossover.models.model.Purpose;
import dev.crossover.models.optimiser.Optimiser;
import dev.crossover.models.optimiser.OptimiserOptions;
import dev.crossover.models.training.AttentionTransfer;
import dev.crossover.models.training.Trainer;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// Replays `model__`, `train__`, `transfer__` and `optimiser__` files.
final class RunReplay {
  private final ModelFile file;
  private final int threads;

  private RunReplay(ModelFile file, int threads) {
    this.file = file;
    this.threads = threads;
  }

  static String model(ModelFile file, int threads) throws TensorFileException {
    return new RunReplay(file, threads).model();
  }

  static String train(ModelFile file, int threads) throws TensorFileException {
    return new RunReplay(file, threads).train();
  }

  static String transfer(ModelFile file, int threads) throws TensorFileException {
    return new RunReplay(file, threads).transfer();
  }

  static String optimiser(ModelFile file, int threads) throws TensorFileException {
    return new RunReplay(file, threads).optimiser();
  }

  /// The shape of one batch; inputs of runs have an axis of steps in front.
  private ModelShape shape(int axis) throws TensorFileException {
    int[] tokens = file.shape("tokens");
    ModelShape shape = ModelShape.of(tokens[axis], tokens[axis + 1]);
    return file.has("source") ? shape.withSource(file.shape("source")[axis + 1]) : shape;
  }

  /// Step `s` of `steps`.
  private Batch batch(int s, int steps) throws TensorFileException {
    return new Batch(
        part(file.ints("tokens"), s, steps),
        part(file.ints("labels"), s, steps),
        part(file.mask("key_mask"), s, steps),
        file.has("source") ? part(file.ints("source"), s, steps) : null,
        part(file.mask("source_mask"), s, steps));
  }

  private static int[] part(int[] all, int s, int steps) {
    int size = all.length / steps;
    return Arrays.copyOfRange(all, s * size, (s + 1) * size);
  }

  private static boolean @Nullable [] part(boolean @Nullable [] all, int s, int steps) {
    if (all == null) {
      return null;
    }
    int size = all.length / steps;
    return Arrays.copyOfRange(all, s * size, (s + 1) * size);
  }

  private String model() throws TensorFileException {
    ModelKind kind = ModelKind.of(file.key("model", ""));
    LayerOptions options = file.options();
    Parameters parameters = file.parameters();
    ModelShape shape = shape(0);
    Batch batch = batch(0, 1);
    Tensor logits =
        Model.plan(kind, options, parameters.copy(), shape, Purpose.LOGITS, threads).logits(batch);
    file.compare("out", logits.data());
    Model model = Model.plan(kind, options, parameters, shape, Purpose.TRAIN, threads);
    file.compare("loss", model.loss(batch));
    model.backward();
    file.compareGradients(parameters);
    file.compareAfter(parameters);
    return kind.label() + " " + options.mixer(0);
  }

  private String train() throws TensorFileException {
    ModelKind kind = ModelKind.of(file.key("model", ""));
    LayerOptions options = file.options();
    Parameters parameters = file.parameters();
    int steps = file.shape("tokens")[0];
    Model model = Model.plan(kind, options, parameters, shape(1), Purpose.TRAIN, threads);
    Trainer trainer = new Trainer(model, parameters, file.optimiser(), threads);
    run(trainer, steps);
    file.compareAfter(parameters);
    return kind.label() + " " + options.mixer(0);
  }

  private void run(Trainer trainer, int steps) throws TensorFileException {
    double[] losses = new double[steps];
    double[] norms = new double[steps];
    double[] rates = new double[steps];
    for (int s = 0; s < steps; s++) {
      losses[s] = trainer.step(batch(s, steps));
      norms[s] = trainer.gradNorm();
      rates[s] = trainer.learningRate();
    }
    file.compare("losses", losses);
    file.compare("grad_norms", norms);
    file.compare("learning_rates", rates);
  }

  private String transfer() throws TensorFileException {
    ModelKind kind = ModelKind.of(file.key("model", ""));
    if (kind != ModelKind.LANGUAGE_MODEL) {
      throw new IllegalArgumentException(
          "model must be language_model in a transfer, but was " + kind.label());
    }
    LayerOptions options = file.options();
    Parameters parameters = file.parameters();
    String student = file.key("student", "");
    int steps = file.shape("tokens")[0];
    Batch first = batch(0, steps);
    AttentionTransfer transfer =
        new AttentionTransfer(
            options, parameters, shape(1), student, file.number("mse_factor", 1), threads);
    file.compare("teacher_loss", transfer.teacherLoss(first));
    double before = transfer.swapLoss(first);
    run(transfer.trainer(file.optimiser()), steps);
    file.compareAfter(parameters);
    file.compare("swap_losses", before, transfer.swapLoss(first));
    return student;
  }

  private String optimiser() throws TensorFileException {
    OptimiserOptions options = file.optimiser();
    Parameters parameters = new Parameters();
    for (Parameter given : file.parameters().all()) {
      if (given.name().startsWith("parameter.")) {
        parameters.add(given.name(), given.value());
      }
    }
    Optimiser optimiser = new Optimiser(options, parameters.all(), threads);
    int steps = file.shape("learning_rates")[0];
    double[] norms = new double[steps];
    double[] rates = new double[steps];
    float[][] after = new float[parameters.all().size()][];
    for (int s = 0; s < steps; s++) {
      for (int i = 0; i < after.length; i++) {
        Parameter parameter = parameters.all().get(i);
        int size = parameter.value().size();
        String gradient = "gradient." + parameter.name().substring("parameter.".length());
        System.arraycopy(
            file.tensor(gradient).data(), s * size, parameter.gradient().data(), 0, size);
      }
      optimiser.step(s);
      norms[s] = optimiser.gradNorm();
      rates[s] = optimiser.learningRate();
      for (int i = 0; i < after.length; i++) {
        float[] value = parameters.all().get(i).value().data();
        after[i] = s == 0 ? new float[steps * value.length] : after[i];
        System.arraycopy(value, 0, after[i], s * value.length, value.length);
      }
    }
    for (int i = 0; i < after.length; i++) {
      file.compare("after_" + parameters.all().get(i).name(), after[i]);
    }
    file.compare("grad_norms", norms);
    file.compare("learning_rates", rates);
    return options.optimiser();
  }
}
