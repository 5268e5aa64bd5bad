// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.swap;

import dev.crossover.attention.random.Draws;
import dev.crossover.models.graph.Parameters;
import dev.crossover.models.layer.Ablation;
import dev.crossover.models.layer.LayerOptions;
import dev.crossover.models.model.Model;
import dev.crossover.models.model.ModelKind;
import dev.crossover.models.model.ModelShape;
import dev.crossover.models.model.Purpose;
import dev.crossover.models.optimiser.OptimiserOptions;
import dev.crossover.models.task.Bytes;
import dev.crossover.models.task.Task;
import dev.crossover.models.training.MechanismSwap;
import dev.crossover.models.training.Recipe;
import dev.crossover.models.training.Samples;
import dev.crossover.models.training.TaskTraining;
import dev.crossover.models.training.TrainedModel;
import dev.crossover.models.training.Trainer;
import java.util.Map;
import java.util.TreeMap;

/// How mechanisms that were put into a language model learn; all see the same samples.
///
/// | | what learns | loss | AdamW |
/// |---|---|---|---|
/// | transfer (LoLCATs, Zhang et al. 2024) | the mechanism's own tensors, or query and key maps where it has none | 1000 · mean square to the original's head outputs | 1e-2, or 1e-3 for maps |
/// | tuning | everything | next byte | 1e-4, clip 1 |
/// | from scratch | everything, anew | next byte | as `train bytes` |
///
/// Rates fall as a cosine to zero (to 5 % from scratch). Where the paper tunes with LoRA on models
/// of billions of weights, all weights of this small one are tuned.
final class SwapLearning {
  private static final double FACTOR = 1000;
  private static final long SEED = Draws.DEFAULT_SEED;
  private static final double BITS_PER_NAT = 1 / Math.log(2);

  private final TrainedModel model;
  private final Bytes text;
  private final LanguageSwapBudget budget;
  private final int longest;
  private final int threads;

  /// What was learned.
  ///
  /// @param layers options of the blocks
  /// @param loss bits per byte of training, mean over the last tenth of the steps
  record Learned(LayerOptions layers, Parameters parameters, double loss) {}

  /// @param text what is learned from; training draws from its own part
  /// @param longest the largest number of bytes that will be read
  SwapLearning(
      TrainedModel model, Bytes text, LanguageSwapBudget budget, int longest, int threads) {
    this.model = model;
    this.text = new Bytes(budget.n(), text.text(), Bytes.Part.TRAINING);
    this.budget = budget;
    this.longest = longest;
    this.threads = threads;
  }

  private ModelShape shape() {
    return ModelShape.of(budget.batch(), budget.n());
  }

  /// Fits a mechanism's tensors to the original's head outputs.
  ///
  /// @throws ArithmeticException if it diverges
  void transfer(MechanismSwap swap) {
    Map<String, String> values = cosine(budget.transferSteps());
    values.put("lr", swap.hasOwnTensors() ? "1e-2" : "1e-3");
    Trainer trainer = swap.transfer(shape(), FACTOR, threads).trainer(OptimiserOptions.of(values));
    run(trainer, budget.transferSteps(), "transfer");
  }

  /// Trains a copy of the swapped model on the next byte; what it is where there are no steps.
  ///
  /// @throws ArithmeticException if it diverges
  Learned tune(MechanismSwap swap) {
    Parameters parameters = swap.parameters().copy();
    int steps = budget.tuneSteps();
    if (steps == 0) {
      return new Learned(swap.layers(), parameters, Double.NaN);
    }
    Map<String, String> values = cosine(steps);
    values.putAll(Map.of("lr", "1e-4", "clip", "1"));
    Model planned =
        Model.plan(
            ModelKind.LANGUAGE_MODEL,
            swap.layers().with("training", "true"),
            parameters,
            shape(),
            Purpose.TRAIN,
            threads);
    Trainer trainer = new Trainer(planned, parameters, OptimiserOptions.of(values), threads);
    return new Learned(swap.layers(), parameters, run(trainer, steps, "tune"));
  }

  /// Trains a fresh model of the same sizes around a mechanism, with what `train` gives it beside
  /// (norms, gates, convolutions).
  ///
  /// @throws ArithmeticException if it diverges
  Learned scratch(String setting) {
    Ablation ablation = Ablation.parse(setting);
    Task task = new Bytes(budget.n(), text.text(), Bytes.Part.HELD_OUT);
    Map<String, String> given = new TreeMap<>(model.layers().toMap());
    given.keySet().removeIf(key -> LayerOptions.isMechanism(key) || key.equals("training"));
    given.putAll(model.sizes().toMap());
    given.put("batch", String.valueOf(budget.batch()));
    given.put("steps", String.valueOf(budget.scratchSteps()));
    given.put("max_length", String.valueOf(longest));
    given.putAll(ablation.in(LayerOptions.defaultOptions()).toMap());
    Recipe recipe = Recipe.of(task, ablation.mechanism(), given, longest);
    TaskTraining training = new TaskTraining(task, recipe, SEED, SEED, threads);
    double loss = 0;
    for (int step = 0; step < budget.scratchSteps(); step++) {
      loss += counted(training.step(), step, budget.scratchSteps(), "scratch");
    }
    return new Learned(
        recipe.layers().with("training", "false"), training.parameters(), loss * BITS_PER_NAT);
  }

  private double run(Trainer trainer, int steps, String stream) {
    double loss = 0;
    for (int step = 0; step < steps; step++) {
      long seed = Draws.seedFor(SEED, stream + " " + step);
      double one = trainer.step(Samples.draw(text, budget.batch(), seed));
      loss += counted(one, step, steps, stream);
    }
    return loss * BITS_PER_NAT;
  }

  /// What a step's loss adds to the mean over the last tenth.
  private static double counted(double loss, int step, int steps, String stream) {
    if (!Double.isFinite(loss)) {
      throw new ArithmeticException(
          stream + " diverged: the loss of step " + (step + 1) + " was " + loss);
    }
    int last = Math.max(1, steps / 10);
    return step < steps - last ? 0 : loss / last;
  }

  /// AdamW whose rate falls as a cosine, without decay of weights.
  private static Map<String, String> cosine(int steps) {
    Map<String, String> values = new TreeMap<>();
    values.put("schedule", "cosine");
    values.put("total_steps", String.valueOf(steps));
    values.put("warmup", String.valueOf(steps / 10));
    return values;
  }
}
