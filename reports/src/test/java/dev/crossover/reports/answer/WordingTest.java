// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class WordingTest {
  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "3.214e-3|3.21 ms",
        "9.996e-4|1.00 ms",
        "42e-9|42.0 ns",
        "12.5|12.5 s",
        "1234|1,234 s",
        "NaN|–"
      })
  void secondsCarryTheirUnit(double seconds, String text) {
    assertEquals(text, Wording.seconds(seconds));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {"0|0 B", "1023|1023 B", "1024|1.00 KiB", "1610612736|1.50 GiB", "NaN|–"})
  void bytesCarryTheirUnit(double bytes, String text) {
    assertEquals(text, Wording.bytes(bytes));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "0.031|3.1 %",
        "0.123|12 %",
        "0.0995|10 %",
        "0.00042|0.042 %",
        "1.2e-7|1e-5 %",
        "0|0 %"
      })
  void percentagesKeepTwoDigits(double share, String text) {
    assertEquals(text, Wording.percent(share));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {"1893.2|1,890", "847.3|850", "12345|12,300", "64|64"})
  void interpolatedLengthsAreRounded(double n, String text) {
    assertEquals(text, Wording.about(n));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {"1.984|0.031|1.98 ± 0.03", "-0.001|0.2|0.00 ± 0.20", "-0.5|0.1|−0.50 ± 0.10"})
  void exponentsCarryHalfTheirInterval(double slope, double half, String text) {
    ScalingFit fit =
        new ScalingFit(slope, slope - half, slope + half, 0, 256, 4096, 5, slope, slope, false);
    assertEquals(text, Wording.exponent(fit));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "0.1004|0.1|10.04 %",
        "0.1|0.1|10 %",
        "0.0996|0.1|9.96 %",
        "0.12|0.1|12 %",
        "0.123456|0.123456|12.3456 %",
        "0.1500001|0.15|15.00001 %"
      })
  void roundedPercentageStaysOnItsSideOfALimit(double share, double limit, String text) {
    assertEquals(text, Wording.percent(share, limit));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {"1.0004|1|1.0004", "0.9996|1|0.9996", "1|1|1.00", "1.234|1|1.23", "9.996|10|9.996"})
  void roundedNumberStaysOnItsSideOfALimit(double value, double limit, String text) {
    assertEquals(text, Wording.digits(value, limit));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {"433|430|433", "427|430|427", "430|430|430", "947|945|950"})
  void roundedLengthStaysOnItsSideOfALimit(double n, double limit, String text) {
    assertEquals(text, Wording.about(n, limit));
  }
}
