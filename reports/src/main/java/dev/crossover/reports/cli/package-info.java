/// The command line: `crossover list`, `sweep`, `report`, `conformance`, `help`.
///
/// Commands read options, call what measures or draws, and turn faults into one line and an exit
/// code: 0 done, 1 failed, 2 asked for something that does not exist. Nothing is measured or drawn
/// here.
@NullMarked
package dev.crossover.reports.cli;

import org.jspecify.annotations.NullMarked;
