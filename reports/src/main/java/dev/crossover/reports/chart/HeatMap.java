// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.chart;

import java.awt.image.BufferedImage;
import java.awt.image.IndexColorModel;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.math.BigDecimal;
import java.math.MathContext;
import javax.imageio.ImageIO;

/// Attention weights as a small picture: queries downwards, keys to the right, logarithmic shades.
///
/// White is a weight of 10⁻⁴ or less, dark blue is 1; negative weights are red.
public final class HeatMap {
  private static final int MOST_PIXELS = 256;
  private static final double DECADES = 4;
  private static final int ZERO = 128;
  private static final IndexColorModel SHADES = shades();

  private HeatMap() {}

  /// A weight by query and key.
  @FunctionalInterface
  public interface Weights {
    /// The weight.
    float at(int query, int key);
  }

  /// A PNG of n × n weights; several weights that share a pixel are averaged.
  public static byte[] png(int n, Weights weights) {
    int step = (n + MOST_PIXELS - 1) / MOST_PIXELS;
    int size = (n + step - 1) / step;
    BufferedImage image = new BufferedImage(size, size, BufferedImage.TYPE_BYTE_INDEXED, SHADES);
    byte[] pixel = new byte[1];
    for (int y = 0; y < size; y++) {
      for (int x = 0; x < size; x++) {
        pixel[0] = (byte) shade(mean(n, weights, y * step, x * step, step));
        image.getRaster().setDataElements(x, y, pixel);
      }
    }
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    try {
      ImageIO.write(image, "png", out);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return out.toByteArray();
  }

  /// The numbers behind the picture, comma-separated: a row for each row of pixels, named by its
  /// first query, a column for each column of pixels, named by its first key, the mean weight with
  /// three significant digits.
  public static String csv(int n, Weights weights) {
    int step = (n + MOST_PIXELS - 1) / MOST_PIXELS;
    StringBuilder out = new StringBuilder("query");
    for (int key = 0; key < n; key += step) {
      out.append(",key_").append(key);
    }
    out.append("\r\n");
    for (int query = 0; query < n; query += step) {
      out.append(query);
      for (int key = 0; key < n; key += step) {
        double mean = mean(n, weights, query, key, step);
        out.append(',').append(mean == 0 ? "0" : Float.toString(rounded(mean)));
      }
      out.append("\r\n");
    }
    return out.toString();
  }

  private static float rounded(double value) {
    return Double.isFinite(value)
        ? new BigDecimal(value).round(new MathContext(3)).floatValue()
        : (float) value;
  }

  private static double mean(int n, Weights weights, int query, int key, int step) {
    double sum = 0;
    int count = 0;
    for (int i = query; i < Math.min(n, query + step); i++) {
      for (int j = key; j < Math.min(n, key + step); j++) {
        sum += weights.at(i, j);
        count++;
      }
    }
    return sum / count;
  }

  private static int shade(double weight) {
    double strength = 1 + Math.log10(Math.abs(weight)) / DECADES;
    if (!(strength > 0)) {
      return ZERO;
    }
    int steps = (int) Math.round(Math.min(1, strength) * (weight > 0 ? 127 : 128));
    return weight > 0 ? ZERO + steps : ZERO - steps;
  }

  private static IndexColorModel shades() {
    int[] blue = {0xffffff, 0xc9dff0, 0x6fabd6, 0x1f6aa5, 0x06233f};
    int[] red = {0xffffff, 0xf6d3c4, 0xe58d6a, 0xb8432a, 0x571409};
    byte[][] rgb = new byte[3][256];
    for (int i = 0; i < 256; i++) {
      int[] ramp = i >= ZERO ? blue : red;
      double at = (i >= ZERO ? (i - ZERO) / 127.0 : (ZERO - i) / 128.0) * (ramp.length - 1);
      int low = Math.min(ramp.length - 2, (int) at);
      for (int c = 0; c < 3; c++) {
        int shift = 16 - 8 * c;
        int a = ramp[low] >> shift & 0xff;
        int b = ramp[low + 1] >> shift & 0xff;
        rgb[c][i] = (byte) Math.round(a + (b - a) * (at - low));
      }
    }
    return new IndexColorModel(8, 256, rgb[0], rgb[1], rgb[2]);
  }
}
