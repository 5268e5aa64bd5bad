// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import org.junit.jupiter.api.Test;

class ListsTest {

  @Test
  void parametersStayWithTheirMechanism() {
    assertEquals(
        List.of("tiled", "performer:num_features=64,seed=7", "longformer:dilation=1/2", "x"),
        Lists.specs("tiled,performer:num_features=64,seed=7,longformer:dilation=1/2,x"));
  }

  @Test
  void pathInAValueDoesNotStartAName() {
    assertEquals(List.of("file:path=/a:b,layer=1"), Lists.specs("file:path=/a:b,layer=1"));
  }

  @Test
  void rangesDouble() {
    assertEquals(List.of(100, 256, 512, 1024, 3000), Lists.lengths("n", "100,256..1024,3000"));
    assertEquals(List.of(300, 600, 1000), Lists.lengths("n", "300..1000"));
  }
}
