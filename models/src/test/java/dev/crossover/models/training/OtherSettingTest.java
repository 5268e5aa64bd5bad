// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.training;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.models.task.Task;
import dev.crossover.models.task.Tasks;
import dev.crossover.models.training.TaskTraining.Look;
import java.util.Map;
import org.junit.jupiter.api.Test;

class OtherSettingTest {
  private static final Task TASK = Tasks.parse("repeat:length=16,vocab=4");

  private static Recipe recipe(String mixer) {
    Map<String, String> small =
        Map.of("width", "16", "batch", "8", "steps", "30", "test_samples", "16");
    return Recipe.of(TASK, mixer, small, TASK.positions());
  }

  private static TaskTraining trained(String mixer) {
    TaskTraining training = new TaskTraining(TASK, recipe(mixer), 1, 42, 1);
    for (int i = 0; i < 10; i++) {
      training.step();
    }
    return training;
  }

  @Test
  void whatIsNotNamedStaysAsItWasTrained() {
    OtherSetting setting = new OtherSetting("reformer:num_hashes=8");
    assertEquals(
        "reformer:chunk_length=4,num_hashes=8", setting.of("reformer:chunk_length=4,num_hashes=2"));
    assertTrue(setting.fits(recipe("reformer:chunk_length=4").layers()));
    assertFalse(setting.fits(recipe("tiled").layers()));
    assertFalse(setting.fits(recipe("lstm").layers()));
  }

  /// One chunk holds the whole sequence, so that attention is exact whatever the chunk's length.
  @Test
  void settingsAtWhichAMechanismIsExactLookAlikeAndOthersDoNot() {
    TaskTraining training = trained("reformer:chunk_length=32");
    Look own = training.look(TASK);
    int looks = training.looks().size();
    Look exact = training.look(TASK, new OtherSetting("reformer:chunk_length=64"));
    assertEquals(own.loss(), exact.loss(), 1e-5 * own.loss());
    assertEquals(own.length(), exact.length());
    Look other = training.look(TASK, new OtherSetting("reformer:chunk_length=2"));
    assertNotEquals(own.loss(), other.loss(), 1e-5 * own.loss());
    assertEquals(looks, training.looks().size(), "it is no look of the run");
    assertEquals(own, training.look(TASK), "the model stays as it was");
  }

  /// The number of features is that of a constant, which is drawn for the setting.
  @Test
  void constantsAreDrawnForTheSetting() {
    TaskTraining training = trained("performer:num_features=8");
    Look own = training.look(TASK);
    assertEquals(own, training.look(TASK, new OtherSetting("performer:num_features=8")));
    Look wider = training.look(TASK, new OtherSetting("performer:num_features=32"));
    assertNotEquals(own.loss(), wider.loss());
  }

  @Test
  void settingsThatNeedOtherWeightsAreRefusedByName() {
    Recipe recipe = recipe("hedgehog:num_features=8");
    OtherSetting other = new OtherSetting("hedgehog:num_features=4");
    String message =
        String.valueOf(
            assertThrows(
                    IllegalArgumentException.class,
                    () -> TaskTraining.requireLooksAt(TASK, recipe, other))
                .getMessage());
    assertTrue(message.startsWith("evaluate-with must keep the shapes of the weights"), message);
    assertThrows(IllegalArgumentException.class, () -> new OtherSetting("lstm"));
    assertThrows(IllegalArgumentException.class, () -> new OtherSetting("reformer:hashes=2"));
    assertThrows(IllegalArgumentException.class, () -> other.of(recipe("reformer").layers()));
  }
}
