// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.chart;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.ByteArrayInputStream;
import java.util.List;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;

class HeatMapTest {

  @Test
  void numbersOfASmallPictureAreTheWeights() {
    String csv = HeatMap.csv(2, (query, key) -> query == key ? 0.75f : query - 0.123456f);
    assertEquals("query,key_0,key_1\r\n0,0.75,-0.123\r\n1,0.877,0.75\r\n", csv);
  }

  /// 600 positions on at most 256 pixels: three to a pixel, so that 200 rows and columns remain and
  /// a weight of one on every ninth pair of a cell has the mean 1/9.
  @Test
  void numbersOfALargePictureAreMeansOverItsPixels() throws Exception {
    HeatMap.Weights weights = (query, key) -> query % 3 == 0 && key % 3 == 0 ? 1 : 0;
    List<String> lines = HeatMap.csv(600, weights).lines().toList();
    assertEquals(201, lines.size());
    assertEquals(201, lines.getFirst().split(",").length);
    assertEquals("597", lines.getLast().split(",")[0]);
    assertEquals("0.111", lines.getLast().split(",")[200]);
    var image = ImageIO.read(new ByteArrayInputStream(HeatMap.png(600, weights)));
    assertEquals(200, image.getWidth());
    assertEquals(200, image.getHeight());
  }
}
