// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.training;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.models.graph.Parameter;
import dev.crossover.models.graph.Parameters;
import dev.crossover.models.layer.LayerOptions;
import dev.crossover.models.model.Batch;
import dev.crossover.models.model.Initialisation;
import dev.crossover.models.model.Model;
import dev.crossover.models.model.ModelKind;
import dev.crossover.models.model.ModelShape;
import dev.crossover.models.model.ModelSizes;
import dev.crossover.models.model.Purpose;
import dev.crossover.models.optimiser.OptimiserOptions;
import java.util.Arrays;
import java.util.Map;
import org.junit.jupiter.api.Test;

class MechanismSwapTest {
  private static final int N = 32;
  private static final ModelShape SHAPE = ModelShape.of(2, N);

  private static TrainedModel model() {
    LayerOptions layers =
        LayerOptions.of(Map.of("mixer", "tiled", "layers", "2", "heads", "2", "positions", "rope"));
    ModelSizes sizes = ModelSizes.of(Map.of("width", "16", "vocabulary", "32"));
    Parameters drawn = Initialisation.of(ModelKind.LANGUAGE_MODEL, layers, sizes, 3);
    for (Parameter parameter : drawn.all()) {
      // scores far from equal, so that mechanisms differ
      boolean map = parameter.name().matches(".*(query|key)_weight");
      for (int i = 0; map && i < parameter.value().size(); i++) {
        parameter.value().data()[i] *= 40;
      }
    }
    return new TrainedModel("drawn", layers, sizes, drawn);
  }

  private static Batch batch() {
    int[] tokens = new int[2 * N];
    int[] labels = new int[2 * N];
    Arrays.setAll(tokens, t -> t * 7 % 32);
    Arrays.setAll(labels, t -> (t * 7 + 7) % 32);
    return Batch.of(tokens, labels);
  }

  private static double loss(LayerOptions layers, Parameters parameters) {
    return Model.plan(ModelKind.LANGUAGE_MODEL, layers, parameters, SHAPE, Purpose.EVALUATE, 1)
        .loss(batch());
  }

  @Test
  void anExactMechanismGivesTheModelsLossAndNoError() {
    TrainedModel model = model();
    MechanismSwap swap = new MechanismSwap(model, "materialised", N, 1);
    double whole = loss(model.layers(), model.parameters());
    assertEquals(whole, loss(swap.layers(), swap.parameters()), 1e-6);
    for (double error : swap.transfer(SHAPE, 1, 1).errors(batch())) {
      assertTrue(error < 1e-5, "error " + error);
    }
    MechanismSwap narrow = new MechanismSwap(model, "longformer:window=1", N, 1);
    double[] errors = narrow.transfer(SHAPE, 1, 1).errors(batch());
    assertEquals(2, errors.length);
    assertTrue(errors[0] > 0.01, Arrays.toString(errors));
  }

  @Test
  void aTransferLowersTheErrorAndLeavesTheModelAsItIs() {
    for (String mechanism : new String[] {"hedgehog", "longformer:window=2"}) {
      TrainedModel model = model();
      Parameters before = model.parameters().copy();
      MechanismSwap swap = new MechanismSwap(model, mechanism, N, 1);
      assertEquals(mechanism.equals("hedgehog"), swap.hasOwnTensors(), mechanism);
      AttentionTransfer transfer = swap.transfer(SHAPE, 1000, 1);
      double[] errors = transfer.errors(batch());
      Map<String, String> options = Map.of("lr", "1e-2");
      Trainer trainer = transfer.trainer(OptimiserOptions.of(options));
      for (int step = 0; step < 60; step++) {
        trainer.step(batch());
      }
      double[] after = transfer.errors(batch());
      for (int block = 0; block < 2; block++) {
        assertTrue(
            after[block] < 0.95 * errors[block],
            mechanism + " " + Arrays.toString(errors) + " " + Arrays.toString(after));
      }
      for (Parameter parameter : before.all()) {
        float[] now = model.parameters().get(parameter.name()).value().data();
        assertArrayEquals(parameter.value().data(), now, parameter.name());
      }
      assertTrue(Double.isFinite(loss(swap.layers(), swap.parameters())), mechanism);
    }
  }

  @Test
  void whatSharesQueriesAndKeysOrGatesStandsInTheModelToo() {
    for (String mechanism : new String[] {"reformer", "gla", "retnet", "performer"}) {
      MechanismSwap swap = new MechanismSwap(model(), mechanism, N, 1);
      assertTrue(Double.isFinite(loss(swap.layers(), swap.parameters())), mechanism);
    }
    assertFalse(new MechanismSwap(model(), "linear_transformer", N, 1).hasOwnTensors());
    assertThrows(IllegalArgumentException.class, () -> new MechanismSwap(model(), "lstm", N, 1));
  }
}
