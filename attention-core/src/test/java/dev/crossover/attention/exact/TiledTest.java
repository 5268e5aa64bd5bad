package dev.crossover.attention.exact;

import dev.crossover.attention.Attention;
import dev.crossover.attention.testing.AttentionContract;
import dev.crossover.attention.testing.GoldenTests;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

class TiledTest extends AttentionContract {

  @Override
  public Attention attention() {
    return new Tiled();
  }

  @Override
  public List<Attention> instances() {
    return List.of(attention(), new Tiled(OptionalDouble.of(0.5)));
  }

  @Override
  public int[] blockBorders() {
    return new int[] {16, 64};
  }

  @TestFactory
  Stream<DynamicTest> goldenFiles() {
    return GoldenTests.of(Tiled.class, Map.of("alibi_bias", "Tiled takes no bias"));
  }
}
