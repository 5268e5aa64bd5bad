// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.peers;

import dev.crossover.models.graph.Parameters;
import dev.crossover.models.model.Batch;
import dev.crossover.models.model.Model;
import dev.crossover.models.model.ModelKind;
import dev.crossover.models.model.ModelShape;
import dev.crossover.models.model.Purpose;
import dev.crossover.models.training.Recipe;
import dev.crossover.models.training.Trainer;
import java.util.List;

/// This toolkit's training.
final class OurTraining implements TrainingContender {
  private final Trainer trainer;
  private final List<Batch> batches;

  OurTraining(TrainingProblem problem, int threads) {
    Recipe recipe = problem.recipe();
    Parameters parameters = problem.parameters();
    ModelShape shape = ModelShape.of(problem.batch(), problem.length());
    Model model =
        Model.plan(
            ModelKind.LANGUAGE_MODEL, recipe.layers(), parameters, shape, Purpose.TRAIN, threads);
    trainer = new Trainer(model, parameters, recipe.optimiser(), threads);
    batches = problem.batches();
  }

  @Override
  public String name() {
    return "crossover";
  }

  @Override
  public double step() {
    return trainer.step(batches.get((int) (trainer.steps() % batches.size())));
  }

  @Override
  public void close() {}
}
