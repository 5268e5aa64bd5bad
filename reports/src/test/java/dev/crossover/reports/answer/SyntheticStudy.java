// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import dev.crossover.attention.mechanism.Mechanism.Approximates;
import dev.crossover.attention.mechanism.MechanismType;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.result.ResultRecord.Conditions;
import dev.crossover.bench.result.ResultRecord.Status;
import dev.crossover.variants.Catalogue;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.random.RandomGenerator;

/// A synthetic study that looks like a real one: exact baselines, rivals of several kinds, both
/// masks, decoding, points that are missing.
public final class SyntheticStudy {
  private static final int[] LENGTHS = {256, 512, 1024, 2048, 4096, 8192};

  /// Three forks that measured nothing else, whose resident sets therefore mean something.
  private static final List<Conditions> ALONE =
      Collections.nCopies(3, new Conditions(null, null, null, 1, null));

  private record Mechanism(
      String spec,
      Approximates approximates,
      boolean causal,
      double perPair,
      double perToken,
      double perPairBytes,
      double perTokenBytes,
      double error,
      double errorGrowth) {}

  private static final List<Mechanism> MECHANISMS =
      List.of(
          new Mechanism("materialised", Approximates.EXACT, true, 1.4e-8, 2e-7, 32, 0, 0.4e-7, 0),
          new Mechanism("tiled", Approximates.EXACT, true, 4.5e-9, 2e-7, 0, 30, 1e-7, 0),
          new Mechanism(
              "longformer:window=256", Approximates.SOFTMAX, true, 0, 8e-6, 0, 300, 0.008, 0.4),
          new Mechanism(
              "longformer:window=64", Approximates.SOFTMAX, true, 0, 3e-6, 0, 120, 0.06, 0.3),
          new Mechanism(
              "performer:num_features=128", Approximates.SOFTMAX, true, 0, 9e-6, 0, 4100, .4, .1),
          new Mechanism(
              "performer:num_features=512", Approximates.SOFTMAX, true, 0, 3e-5, 0, 16400, .21, .1),
          new Mechanism("linear_transformer", Approximates.NONE, true, 0, 2e-6, 0, 900, .5, 0),
          new Mechanism("nystromformer", Approximates.SOFTMAX, false, 0, 6e-6, 0, 2100, .16, .15),
          new Mechanism(
              "linformer:projected_length=256",
              Approximates.SOFTMAX,
              false,
              0,
              9e-6,
              0,
              5000,
              .35,
              .05),
          new Mechanism("reformer", Approximates.SOFTMAX, true, 0, 6e-5, 0, 9000, 0.3, 0.1));

  private SyntheticStudy() {}

  /// The records, the same for the same seed.
  public static List<ResultRecord> records(long seed) {
    RandomGenerator random = Curves.random(seed);
    List<ResultRecord> records = new ArrayList<>();
    for (String mask : List.of("causal", "none")) {
      for (Mechanism m : MECHANISMS) {
        if (mask.equals("causal") && !m.causal()) {
          continue;
        }
        for (int n : LENGTHS) {
          records.add(forward(m, mask, n, random));
        }
      }
    }
    for (Mechanism m : MECHANISMS) {
      if (m.causal() && !m.spec().equals("materialised")) {
        for (int n : LENGTHS) {
          boolean exact = m.spec().equals("tiled");
          double time = exact ? 2e-6 + 9e-9 * n : 2e-6 + m.perToken();
          double bytes = exact ? 4096.0 * n : 270_000;
          records.add(
              Records.point(
                  ResultRecord.Study.DECODE,
                  m.spec(),
                  m.approximates(),
                  "causal",
                  n,
                  time,
                  bytes,
                  Double.NaN,
                  3,
                  0.02,
                  random));
        }
      }
    }
    return records;
  }

  /// Every mechanism of the catalogue with made-up costs, causal, as a crowded report would hold
  /// them.
  public static List<ResultRecord> catalogue(long seed) {
    RandomGenerator random = Curves.random(seed);
    List<ResultRecord> records = new ArrayList<>();
    for (MechanismType type : Catalogue.all()) {
      boolean quadratic = type.mechanism().exponent() > 1.5;
      Approximates approximates = type.mechanism().approximates();
      Mechanism made =
          new Mechanism(
              type.name(),
              approximates,
              true,
              quadratic ? 4e-9 * Math.exp(random.nextGaussian()) : 0,
              quadratic ? 2e-7 : 6e-6 * Math.exp(random.nextGaussian()),
              type.name().equals("materialised") ? 32 : 0,
              600 * Math.exp(random.nextGaussian()),
              approximates == Approximates.EXACT ? 1e-7 : 0.1 * Math.exp(random.nextGaussian()),
              0.2);
      for (int n : LENGTHS) {
        records.add(forward(made, "causal", n, random));
      }
    }
    return records;
  }

  private static ResultRecord forward(Mechanism m, String mask, int n, RandomGenerator random) {
    double pairs = (double) n * n * (mask.equals("causal") ? 0.5 : 1);
    double growth = Math.pow(n / 8192.0, m.errorGrowth());
    ResultRecord record =
        Records.point(
            ResultRecord.Study.FORWARD,
            m.spec(),
            m.approximates(),
            mask,
            n,
            3e-5 + m.perPair() * pairs + m.perToken() * n,
            m.perPairBytes() * n * n + m.perTokenBytes() * n + 4096,
            m.approximates() == Approximates.NONE ? Double.NaN : m.error() * growth,
            3,
            0.02,
            random);
    return m.spec().equals("materialised") && n == 8192
        ? Records.missing(record, Status.SKIPPED, "needs 2.0 GiB of scratch, 1.5 GiB are free")
        : Records.under(record, ALONE);
  }
}
