// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.exact;

import dev.crossover.attention.Attention;
import dev.crossover.attention.testing.AttentionContract;
import dev.crossover.attention.testing.GoldenTests;
import java.util.List;
import java.util.OptionalDouble;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

class MaterialisedTest extends AttentionContract {

  @Override
  public Attention attention() {
    return new Materialised();
  }

  @Override
  public List<Attention> instances() {
    return List.of(attention(), new Materialised(OptionalDouble.of(0.5)));
  }

  @Override
  public List<String> optionalInputs() {
    return List.of("bias");
  }

  @Override
  public int[] blockBorders() {
    return new int[] {16, 64};
  }

  @TestFactory
  Stream<DynamicTest> goldenFiles() {
    return GoldenTests.of(Materialised.class);
  }
}
