/* cyto -- member.pml: lanes that join and leave while a consumer runs, dies and
 * is restarted on another set of lanes; the supervisor is killed in between.
 *
 * The consumer has NS lane slots.  Lane 1 uses slot 0, lane 2 slot 1; lane 1
 * leaves; lane 3 joins in slot 0.  Each lane carries the records 1..M.
 * Join:  make the ring empty, then ONE store of the lane's number (never used
 *        again) into the registry slot.
 * Leave: the producer is done; registry says "closing"; the consumer drains,
 *        commits, and then publishes "closed" (again after a restart); only then
 *        is the slot used again.
 * The commit record holds (lane number, head) of every slot; after a restart a
 * head counts only if its lane number is the registry's.
 *
 * Run:  spin -a member.pml && gcc -O2 -DSAFETY -DCOLLAPSE -DMEMLIM=6000 -o pan pan.c
 *       ./pan -m1000000
 * Bounds: -DM=2 -DKILLS=2 (consumer and supervisor together)
 * Holes:
 *   -DNONUM     heads go by slot without the lane number
 *   -DINDEX     heads are stored by position among the lanes open at that time
 *   -DEARLY     the slot is used again without the consumer's "closed"
 *   -DREGFIRST  the registry slot is stored before the ring is made empty
 */
#ifndef M
#define M 2
#endif
#ifndef KILLS
#define KILLS 2
#endif
#define NS   2
#define R    (M+1)
#define TERM 0

typedef Ring { byte hdr[R]; byte val[R] };
Ring ln[NS];
byte reg[NS], closing[NS], closedw[NS], phead[NS];
byte pcom[4];                        /* commit word of each lane's producer      */
typedef Rec { byte num[NS]; byte h[NS] };
Rec  cr[2];
byte commit, kills, got[4];

#define S(x) atomic { if :: x :: kills < KILLS -> kills++; goto dead fi }

proctype Prod(byte g, s) {           /* not killed: turn.pml does that */
  byte i;
  reg[s] == g;
  do
  :: i < M ->
     atomic { ln[s].hdr[i+1] = TERM; ln[s].val[i] = 10*g+i+1; ln[s].hdr[i] = i+1; i++ }
     pcom[g] = i
  :: else -> break
  od
}

#define VIS(s) (num[s] != 0 && h[s] < M && ln[s].hdr[h[s]] != TERM && \
                ln[s].hdr[h[s]] <= pcom[num[s]])
#define NEWL(s) (reg[s] != num[s])
#define CLOSE(s) (num[s] != 0 && closing[s] == num[s] && cl[s] != num[s] && !VIS(s))
#ifdef NONUM
#define FRESH(s) num[s] = reg[s]
#else
#define FRESH(s) num[s] = reg[s]; h[s] = 0
#endif

proctype Cons() {
  byte h[NS], num[NS], cl[NS], s, v, t, i;
start:
  atomic {
    t = commit+1; s = 0; i = 0;
    do
    :: s < NS ->
#ifdef INDEX
       num[s] = reg[s];
       if :: reg[s] != 0 && closedw[s] != reg[s] -> h[s] = cr[commit%2].h[i]; i++ :: else fi;
       cl[s] = closedw[s];
#else
       num[s] = reg[s];
       if :: cr[commit%2].num[s] == reg[s] -> h[s] = cr[commit%2].h[s] :: else -> h[s] = 0 fi;
#ifdef NONUM
       h[s] = cr[commit%2].h[s];
#endif
#endif
       s++
    :: else -> break
    od; s = 0; i = 0 }
loop:
end_c:
  if
  :: atomic { NEWL(0) -> FRESH(0) } goto loop
  :: atomic { NEWL(1) -> FRESH(1) } goto loop
  :: VIS(0) -> s = 0
  :: VIS(1) -> s = 1
  :: CLOSE(0) -> cl[0] = num[0]; s = 2
  :: CLOSE(1) -> cl[1] = num[1]; s = 3
  fi;
  if :: s < 2 -> S(v = ln[s].val[h[s]]); h[s]++ :: else fi;
#ifdef INDEX
  i = 0;
  if :: num[0] != 0 && cl[0] != num[0] -> S(cr[t%2].h[i] = h[0]); i++ :: else fi;
  if :: num[1] != 0 && cl[1] != num[1] -> S(cr[t%2].h[i] = h[1]); i++ :: else fi; i = 0;
#else
  S(cr[t%2].num[0] = num[0]); S(cr[t%2].h[0] = h[0]);
  S(cr[t%2].num[1] = num[1]); S(cr[t%2].h[1] = h[1]);
#endif
  S(commit = t;
    if :: s < 2 -> assert(v == 10*num[s] + got[num[s]] + 1); got[num[s]]++ :: else fi);
  t++;
  S(phead[0] = h[0]); S(phead[1] = h[1]);
  S(closedw[0] = cl[0]); S(closedw[1] = cl[1]);
  v = 0; s = 0;
  goto loop;
dead:
  atomic { h[0] = 0; h[1] = 0; num[0] = 0; num[1] = 0;
           cl[0] = 0; cl[1] = 0; v = 0; s = 0; t = 0; i = 0 }
  goto start
}

active proctype Sup() {              /* begins again from the registry when killed */
  byte i;
dead: i = 0;
  if
  :: reg[0] == 1 ->
     pcom[1] == M;                   /* lane 1's producer has gone */
     S(closing[0] = 1);
#ifndef EARLY
     closedw[0] == 1;
#endif
#ifdef REGFIRST
     S(reg[0] = 3);
#endif
     do :: i < R -> S(ln[0].hdr[i] = TERM); i++ :: else -> break od;
     S(phead[0] = 0);
     S(reg[0] = 3)
  :: reg[0] == 3 -> skip
  fi
}

active proctype Mon() {
end_m: atomic { timeout -> assert(got[1] == M && got[2] == M && got[3] == M) }
}
init { atomic { reg[0] = 1; reg[1] = 2; run Prod(1,0); run Prod(2,1); run Prod(3,0); run Cons() } }
