// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.MechanismType;
import java.util.Arrays;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// Every declared difference between paper and code names a test that exists.
class DifferencesTest {

  record Declared(MechanismType type, Mechanism.Difference difference) {
    @Override
    public String toString() {
      return type.name() + ": " + difference.what();
    }
  }

  static Stream<Declared> differences() {
    return Catalogue.all().stream()
        .flatMap(t -> Arrays.stream(t.mechanism().differences()).map(d -> new Declared(t, d)));
  }

  @ParameterizedTest
  @MethodSource("differences")
  void theTestThatShowsItExists(Declared declared) throws ClassNotFoundException {
    String[] name = declared.difference().test().split("\\.");
    Class<?> test = Class.forName(declared.type().type().getPackageName() + "." + name[0]);
    assertTrue(
        Arrays.stream(test.getDeclaredMethods()).anyMatch(m -> m.getName().equals(name[1])),
        declared.difference().test());
  }

  @ParameterizedTest
  @MethodSource("differences")
  void theTwoOptionsDiffer(Declared declared) {
    assertFalse(
        declared.difference().paperOption().equals(declared.difference().codeOption()),
        declared.toString());
  }
}
