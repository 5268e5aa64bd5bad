// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.training;

import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.DType;
import dev.crossover.attention.tensor.SafeTensors;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.tensor.TensorFileException;
import dev.crossover.attention.tensor.TensorFileWriter;
import dev.crossover.models.graph.Parameter;
import dev.crossover.models.graph.Parameters;
import dev.crossover.models.layer.LayerOptions;
import dev.crossover.models.model.Batch;
import dev.crossover.models.model.Initialisation;
import dev.crossover.models.model.Model;
import dev.crossover.models.model.ModelKind;
import dev.crossover.models.model.ModelShape;
import dev.crossover.models.model.Purpose;
import dev.crossover.models.task.Task;
import dev.crossover.models.task.Tasks;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/// One run: a fresh decoder-only model, or an auto-encoder, learns a task.
///
/// Training samples are drawn anew in every step from (data seed, step), test samples once from
/// another stream, the same for every mixer and model seed. Same seeds give the same bits for any
/// number of threads, and a run continued from [#save] gives the bits of no interruption.
///
/// Tasks that read a whole sequence are asked at its last token that is not padding; those of
/// auto-encoders at every position of what is decoded from the last token's row.
public final class TaskTraining {
  private static final String STATE = "optimiser.";
  private static final String LOSSES = "run.losses";
  private static final String STEPS = "run.steps";
  private static final String WORDS = "run.looks";

  private final Task task;
  private final Recipe recipe;
  private final long dataSeed;
  private final int threads;
  private final ModelKind kind;
  private final Parameters parameters;
  private final Trainer trainer;
  private int stage;
  private final List<Double> losses = new ArrayList<>();
  private final List<Look> looks = new ArrayList<>();

  /// What a look at the test samples saw.
  ///
  /// @param step steps done
  /// @param length positions of the test samples
  /// @param loss mean cross-entropy over asked positions, in nats
  /// @param accuracy share of asked positions that were right
  /// @param sequenceAccuracy share of samples of which every asked position was right
  public record Look(
      long step, int length, double loss, double accuracy, double sequenceAccuracy) {}

  /// Loss at some positions of test samples.
  ///
  /// @param from the first position, counted from 1: the symbols that a model has read there
  /// @param to the last position
  /// @param loss mean cross-entropy, in nats
  public record PositionLoss(int from, int to, double loss) {}

  /// @param task what is learned
  /// @param recipe how
  /// @param seed of the model
  /// @param dataSeed of the samples, the same for every mixer
  /// @param threads number of threads, at least 1
  /// @throws IllegalArgumentException if the mixer cannot do what the task or model asks, by name
  public TaskTraining(Task task, Recipe recipe, long seed, long dataSeed, int threads) {
    this.task = task.training();
    this.recipe = recipe;
    this.dataSeed = dataSeed;
    this.threads = threads;
    kind = kind(task);
    parameters = Initialisation.of(kind, recipe.layers(), recipe.sizes(), seed);
    stage = recipe.curriculum().stage(0);
    trainer = new Trainer(planned(), parameters, recipe.optimiser(), threads);
  }

  private static ModelKind kind(Task task) {
    return task.reading() == Task.Reading.AUTOENCODER
        ? ModelKind.AUTOENCODER
        : ModelKind.LANGUAGE_MODEL;
  }

  private Task stageTask() {
    return recipe.curriculum().task(task, stage);
  }

  private int stageBatch() {
    return recipe.curriculum().batch(task, stage, recipe.batch());
  }

  private Model planned() {
    ModelShape shape = shape(stageTask(), stageBatch());
    return Model.plan(kind, recipe.layers(), parameters, shape, Purpose.TRAIN, threads);
  }

  private static ModelShape shape(Task task, int batch) {
    int asked = task.reading() == Task.Reading.SEQUENCE ? 1 : task.asked();
    return ModelShape.of(batch, task.positions()).withLabelled(batch * asked);
  }

  /// Trains on the next batch.
  ///
  /// @return its loss before the update; NaN or infinite if the run diverged
  public double step() {
    int next = recipe.curriculum().stage(trainer.steps());
    if (next != stage) {
      stage = next;
      trainer.continueWith(planned());
    }
    Task from = stageTask();
    String stream = "train " + Tasks.describe(from) + " " + trainer.steps();
    double loss = trainer.step(draw(from, stageBatch(), stream));
    losses.add(loss);
    return loss;
  }

  private Batch draw(Task from, int count, String stream) {
    return Samples.draw(from, count, Draws.seedFor(dataSeed, stream));
  }

  private Model evaluating(Task test, int batch, LayerOptions layers, Parameters weights) {
    return Model.plan(
        kind,
        layers.with("training", "false"),
        weights,
        shape(test, batch),
        Purpose.EVALUATE,
        threads);
  }

  /// Loss at positions 1, 2, 3 and 4, 5 to 8, … of test samples that are asked everywhere.
  ///
  /// @param test asked at every position
  public List<PositionLoss> lossByPosition(Task test) {
    int batch = Math.min(recipe.testSamples(), recipe.batch());
    int n = test.positions();
    Model model = evaluating(test, batch, recipe.layers(), parameters);
    int batches = Math.ceilDiv(recipe.testSamples(), batch);
    double[] sums = new double[n];
    for (int b = 0; b < batches; b++) {
      Batch samples = draw(test, batch, "test " + Tasks.describe(test) + " " + b);
      model.loss(samples);
      if (model.labelled() != batch * n) {
        throw new IllegalArgumentException(
            "test must ask at every position, but was " + Tasks.describe(test));
      }
      for (int row = 0; row < batch * n; row++) {
        sums[row % n] += model.lossOf(row);
      }
    }
    List<PositionLoss> bins = new ArrayList<>();
    int last = 1;
    for (int from = 1; from <= n; from = last + 1) {
      last = Math.min(n, Math.max(1, 2 * (from - 1)));
      double sum = 0;
      for (int p = from; p <= last; p++) {
        sum += sums[p - 1];
      }
      bins.add(new PositionLoss(from, last, sum / ((double) batches * batch * (last - from + 1))));
    }
    return bins;
  }

  /// Looks at the test samples of a task of the same kind, for example at another length.
  public Look look(Task test) {
    Look look = look(test, recipe.layers(), parameters);
    looks.add(look);
    return look;
  }

  /// Looks at the same samples with the model at another setting of its mechanism; the look is not
  /// among those of the run.
  ///
  /// @throws IllegalArgumentException if the setting needs other weights, by name
  public Look look(Task test, OtherSetting setting) {
    return look(
        test,
        setting.in(recipe.layers()),
        setting.parameters(kind, recipe.layers(), recipe.sizes(), parameters));
  }

  /// Refuses a setting at which a model that a recipe trains cannot be looked at.
  ///
  /// @param test at its length
  /// @throws IllegalArgumentException if it needs other weights or cannot take the length, by name
  /// @throws UnsupportedOperationException if it cannot do what the model asks, by name
  public static void requireLooksAt(Task test, Recipe recipe, OtherSetting setting) {
    ModelKind kind = kind(test);
    Parameters trained = Initialisation.of(kind, recipe.layers(), recipe.sizes(), 0);
    Model.plan(
        kind,
        setting.in(recipe.layers()).with("training", "false"),
        setting.parameters(kind, recipe.layers(), recipe.sizes(), trained),
        shape(test, 1),
        Purpose.EVALUATE,
        1);
  }

  private Look look(Task test, LayerOptions layers, Parameters weights) {
    int batch = Math.min(recipe.testSamples(), recipe.batch());
    Model model = evaluating(test, batch, layers, weights);
    int batches = Math.ceilDiv(recipe.testSamples(), batch);
    double loss = 0;
    long asked = 0;
    long right = 0;
    long whole = 0;
    for (int b = 0; b < batches; b++) {
      Batch samples = draw(test, batch, "test " + Tasks.describe(test) + " " + b);
      double mean = model.loss(samples);
      loss += mean * model.labelled();
      asked += model.labelled();
      right += model.correct();
      whole += wholes(model, samples, batch);
    }
    return new Look(
        trainer.steps(),
        test.positions(),
        loss / asked,
        (double) right / asked,
        (double) whole / ((long) batches * batch));
  }

  /// Samples of which every asked position was right.
  private static int wholes(Model model, Batch samples, int batch) {
    int[] labels = Objects.requireNonNull(samples.labels());
    int n = labels.length / batch;
    int row = 0;
    int whole = 0;
    for (int b = 0; b < batch; b++) {
      boolean all = true;
      for (int t = 0; t < n; t++) {
        if (labels[b * n + t] != Task.IGNORE) {
          all &= model.isCorrect(row++);
        }
      }
      whole += all ? 1 : 0;
    }
    return whole;
  }

  /// Steps done.
  public long steps() {
    return trainer.steps();
  }

  /// The loss of every step so far.
  public List<Double> losses() {
    return List.copyOf(losses);
  }

  /// Every look so far.
  public List<Look> looks() {
    return List.copyOf(looks);
  }

  /// The model's parameters.
  public Parameters parameters() {
    return parameters;
  }

  /// Writes everything that the run needs to go on, whole or not at all.
  public void save(Path file) throws IOException {
    TensorFileWriter writer = new TensorFileWriter();
    writer.metadata("format", TrainedModel.FORMAT);
    TrainedModel.describe(writer, Tasks.describe(task), recipe.layers(), recipe.sizes());
    for (Parameter parameter : parameters.all()) {
      writer.add(parameter.name(), parameter.value());
    }
    for (Map.Entry<String, Tensor> entry : trainer.state().entrySet()) {
      writer.add(STATE + entry.getKey(), entry.getValue());
    }
    double[] all = losses.stream().mapToDouble(Double::doubleValue).toArray();
    writer.add(LOSSES, DType.F64, all, all.length);
    writer.add(STEPS, DType.F64, new double[] {trainer.steps()}, 1);
    double[] words = new double[5 * looks.size()];
    for (int i = 0; i < looks.size(); i++) {
      Look look = looks.get(i);
      words[5 * i] = look.step();
      words[5 * i + 1] = look.length();
      words[5 * i + 2] = look.loss();
      words[5 * i + 3] = look.accuracy();
      words[5 * i + 4] = look.sequenceAccuracy();
    }
    writer.add(WORDS, DType.F64, words, looks.size(), 5);
    writer.writeSafeTensors(file);
  }

  /// Goes back to a saved state.
  ///
  /// @throws TensorFileException if the file is absent, malformed, or of another model
  public void resume(Path path) throws TensorFileException {
    SafeTensors file = SafeTensors.open(path);
    for (Parameter parameter : parameters.all()) {
      TrainedModel.restore(file, parameter.name(), parameter.value());
    }
    for (Map.Entry<String, Tensor> entry : trainer.state().entrySet()) {
      TrainedModel.restore(file, STATE + entry.getKey(), entry.getValue());
    }
    trainer.resume((long) file.doubles(STEPS)[0]);
    losses.clear();
    for (double loss : file.doubles(LOSSES)) {
      losses.add(loss);
    }
    looks.clear();
    double[] words = file.doubles(WORDS);
    for (int i = 0; i + 5 <= words.length; i += 5) {
      looks.add(
          new Look((long) words[i], (int) words[i + 1], words[i + 2], words[i + 3], words[i + 4]));
    }
  }
}
