// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.error;

import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.variants.Catalogue;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

class OptionEffectTest {

  @TestFactory
  Stream<DynamicTest> everyDeclaredDifferenceHasOptionsThatAreValid() {
    return Catalogue.all().stream()
        .flatMap(
            type ->
                Stream.of(type.mechanism().differences())
                    .map(
                        difference ->
                            DynamicTest.dynamicTest(
                                type.name() + ": " + difference.what(),
                                () -> {
                                  OptionEffect effect = OptionEffect.of(type, difference);
                                  assertTrue(effect.relative() >= 0, effect.toString());
                                })));
  }

  @Test
  void anEffectIsMeasured() {
    var longformer = Catalogue.find("longformer");
    Mechanism.Difference window = longformer.mechanism().differences()[0];
    assertTrue(OptionEffect.of(longformer, window).relative() > 1e-3);
  }
}
