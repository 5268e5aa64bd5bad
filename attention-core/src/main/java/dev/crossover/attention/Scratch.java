// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention;

/// Allocates a plan's arrays and counts their bytes, exactly and without headers.
///
/// Used while a plan is built, never afterwards.
public final class Scratch {
  private final boolean sizing;
  private long bytes;

  /// An allocator.
  public Scratch() {
    this(false);
  }

  private Scratch(boolean sizing) {
    this.sizing = sizing;
  }

  /// Counts what it is asked for and hands out empty arrays: what is built with it is only good for
  /// its number of bytes.
  public static Scratch sizing() {
    return new Scratch(true);
  }

  /// A fresh array of floats.
  public float[] floats(long length) {
    return new float[counted(length, Float.BYTES)];
  }

  /// A fresh array of doubles.
  public double[] doubles(long length) {
    return new double[counted(length, Double.BYTES)];
  }

  /// A fresh array of ints.
  public int[] ints(long length) {
    return new int[counted(length, Integer.BYTES)];
  }

  /// A fresh array of longs.
  public long[] longs(long length) {
    return new long[counted(length, Long.BYTES)];
  }

  /// Counts bytes that a nested plan allocated for itself.
  public void include(long nestedBytes) {
    bytes += nestedBytes;
  }

  /// Bytes handed out so far.
  public long bytes() {
    return bytes;
  }

  private int counted(long length, int elementBytes) {
    if (length < 0 || length > Integer.MAX_VALUE - 8) {
      throw new IllegalArgumentException(
          "scratch array length must be from 0 to 2^31 - 9, but was " + length);
    }
    bytes += length * elementBytes;
    return sizing ? 0 : (int) length;
  }
}
