package dev.crossover.bench.tune;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.mechanism.Mechanism.Approximates;
import dev.crossover.attention.mechanism.MechanismType;
import dev.crossover.bench.error.ErrorProblem;
import dev.crossover.bench.tune.Tuner.Setting;
import dev.crossover.variants.Catalogue;
import java.util.List;
import org.junit.jupiter.api.Test;

class TunerTest {

  @Test
  void everyApproximationOfSoftmaxHasAKnob() {
    for (MechanismType type : Catalogue.all()) {
      if (type.mechanism().approximates() == Approximates.SOFTMAX) {
        assertFalse(type.knobs().isEmpty(), type.name() + " must have a @Knob");
      }
      for (String spec : type.knobs().isEmpty() ? List.<String>of() : Tuner.grid(type)) {
        Catalogue.parse(spec);
      }
    }
    assertTrue(Tuner.tunable().containsAll(List.of("longformer", "moba", "block_topk", "topk")));
  }

  @Test
  void settingsAreChosenOnSomeHeadsAndJudgedOnOthers() throws Exception {
    ErrorProblem problem = ErrorProblem.of("gaussian:scale=2", 256, true, 42, 2);
    Tuner tuner = new Tuner(problem, _ -> {});
    List<Setting> settings = tuner.settings("longformer", Double.POSITIVE_INFINITY);
    assertEquals(8, settings.size());
    for (Setting setting : settings) {
      assertTrue(setting.chosenOn() != setting.heldOut() || setting.error() < 1e-5, setting.spec());
    }
    Setting narrow = settings.getFirst();
    Setting wide =
        settings.stream().filter(s -> s.spec().endsWith("=256")).findFirst().orElseThrow();
    assertTrue(narrow.error() > 0.1 && wide.error() < 1e-5, narrow + " " + wide);
    assertTrue(tuner.settings("longformer", 0).isEmpty(), "nothing is cheaper than nothing");
  }

  @Test
  void theCheapestWithinEachErrorAreTimed() {
    List<Setting> settings =
        List.of(
            new Setting("a:k=1", "a", 1, 0.5, 0.5),
            new Setting("a:k=2", "a", 2, 0.09, 0.2),
            new Setting("a:k=3", "a", 3, 0.05, 0.06),
            new Setting("a:k=4", "a", 4, 0.01, 0.01),
            new Setting("b:k=1", "b", 9, 0.04, 0.04));
    List<String> timed =
        Tuner.worthTiming(settings, List.of(0.1, 0.05), 1).stream().map(Setting::spec).toList();
    assertEquals(List.of("a:k=2", "a:k=3", "b:k=1"), timed);
  }
}
