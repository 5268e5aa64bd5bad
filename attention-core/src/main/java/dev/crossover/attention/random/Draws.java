// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.random;

import dev.crossover.attention.tensor.Tensor;
import java.util.Arrays;
import org.apache.commons.rng.UniformRandomProvider;
import org.apache.commons.rng.sampling.distribution.ZigguratSampler;
import org.apache.commons.rng.simple.RandomSource;

/// Seeded draws, the same on every machine.
///
/// One seed names one stream (xoshiro256++); streams of different purposes are kept apart by
/// [#seedFor].
public final class Draws {
  /// Seed of everything that is not given one.
  public static final long DEFAULT_SEED = 42;

  private Draws() {}

  /// A generator for a seed.
  public static UniformRandomProvider generator(long seed) {
    return RandomSource.XO_SHI_RO_256_PP.create(seed);
  }

  /// A seed for one purpose, derived from a common seed: same seed and purpose, same stream.
  public static long seedFor(long seed, String purpose) {
    long mixed = seed * 0x9E3779B97F4A7C15L + 0x632BE59BD9B4E019L;
    for (int i = 0; i < purpose.length(); i++) {
      mixed = (mixed ^ purpose.charAt(i)) * 0xBF58476D1CE4E5B9L;
      mixed ^= mixed >>> 29;
    }
    return mixed;
  }

  /// A tensor of independent standard normal elements, row-major order.
  public static Tensor gaussian(long seed, int... shape) {
    return gaussian(seed, 1, shape);
  }

  /// A tensor of independent normal elements of mean 0, row-major order.
  public static Tensor gaussian(long seed, double standardDeviation, int... shape) {
    Tensor tensor = Tensor.zeros(shape);
    ZigguratSampler.NormalizedGaussian sampler =
        ZigguratSampler.NormalizedGaussian.of(generator(seed));
    float[] data = tensor.data();
    for (int i = 0; i < data.length; i++) {
      data[i] = (float) (standardDeviation * sampler.sample());
    }
    return tensor;
  }

  /// A tensor of independent elements, uniform from `low` to `high`, row-major order.
  public static Tensor uniform(long seed, double low, double high, int... shape) {
    Tensor tensor = Tensor.zeros(shape);
    UniformRandomProvider generator = generator(seed);
    float[] data = tensor.data();
    for (int i = 0; i < data.length; i++) {
      data[i] = (float) (low + (high - low) * generator.nextDouble());
    }
    return tensor;
  }

  /// A tensor of one constant.
  public static Tensor constant(double value, int... shape) {
    Tensor tensor = Tensor.zeros(shape);
    Arrays.fill(tensor.data(), (float) value);
    return tensor;
  }

  /// Thirty-two bits drawn by position instead of from a stream: the same key and element give the
  /// same bits, whoever asks and in whatever order (a keyed finaliser of MurmurHash3's kind, two
  /// rounds).
  ///
  /// @param key a seed, for example of [#seedFor]
  /// @param element the position
  public static int bitsAt(long key, int element) {
    int h = element * 0x9E3779B1 + (int) key;
    h = (h ^ (h >>> 16)) * 0x7FEB352D;
    h = (h ^ (h >>> 15)) * 0x846CA68B;
    h ^= (h >>> 16) ^ (int) (key >>> 32);
    h = (h ^ (h >>> 16)) * 0x21F0AAAD;
    h = (h ^ (h >>> 15)) * 0x735A2D97;
    return h ^ (h >>> 15);
  }
}
