// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import dev.crossover.bench.result.ResultRecord.Study;

/// One token of decoding.
record DecodeStudy() implements StudyView {
  @Override
  public Study study() {
    return Study.DECODE;
  }

  @Override
  public String title() {
    return "Decoding, one token at a time";
  }

  @Override
  public String unit() {
    return "token";
  }

  @Override
  public String at() {
    return "context ";
  }

  @Override
  public String length() {
    return "context length";
  }

  @Override
  public String bytes() {
    return "state";
  }

  @Override
  public Metric memory() {
    return Metrics.STATE_BYTES;
  }

  @Override
  public String doubt() {
    return "Errors of decoding are those of the causal forward pass over the whole context, whose"
        + " outputs decoding repeats token by token.";
  }
}
