// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

/// Counted work over measured time beside what the machine was measured to do.
///
/// @param intensity counted FLOPs per counted byte
/// @param gflops achieved GFLOP/s: counted FLOPs over measured seconds
/// @param shareOfPeak achieved over peak GFLOP/s; NaN when the peak was not measured
/// @param roof the bound at this intensity in GFLOP/s, min(peak, intensity · bandwidth); NaN
///     likewise
/// @param shareOfBandwidth counted bytes over time as a share of the measured bandwidth; NaN
///     likewise. Above 1 where the data stays in cache
/// @param memoryBound whether bandwidth rather than arithmetic is that bound
public record Roofline(
    double intensity,
    double gflops,
    double shareOfPeak,
    double roof,
    double shareOfBandwidth,
    boolean memoryBound) {

  /// Places one measurement under the roof.
  ///
  /// @param flops counted floating-point operations
  /// @param bytes counted bytes moved
  /// @param seconds measured time
  /// @param peakGflops measured peak, not positive when unknown
  /// @param gigabytesPerSecond measured bandwidth, not positive when unknown
  public static Roofline of(
      double flops, double bytes, double seconds, double peakGflops, double gigabytesPerSecond) {
    double intensity = flops / bytes;
    double gflops = flops / seconds / 1e9;
    double share = peakGflops > 0 ? gflops / peakGflops : Double.NaN;
    boolean known = peakGflops > 0 && gigabytesPerSecond > 0;
    double slope = intensity * gigabytesPerSecond;
    double roof = known ? Math.min(peakGflops, slope) : Double.NaN;
    double stream =
        gigabytesPerSecond > 0 ? bytes / seconds / 1e9 / gigabytesPerSecond : Double.NaN;
    return new Roofline(intensity, gflops, share, roof, stream, known && slope < peakGflops);
  }
}
